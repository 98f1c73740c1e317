#if canImport(SwiftUI) && canImport(CoreML)
import Foundation
import SwiftUI
import UniformTypeIdentifiers
import WOTDKit

#if os(macOS)
import AppKit
#endif

/// Type a word, see its ID, what its codes are called, the nearest words and how long it took.
@MainActor
struct SampleView: View {
    @State private var folder = SampleView.defaultFolder()
    @State private var word = "twilight"
    @State private var encoder: SemanticEncoder?
    @State private var found: Found?
    @State private var message = ""
    @State private var isBusy = false
    @State private var isChoosing = false

    private struct Found {
        let id: SemanticID
        let labels: [CodeLabel]
        let neighbours: [Neighbour]
        let note: String
    }

    var body: some View {
        VStack(alignment: .leading, spacing: 12) {
            folderRow
            wordRow
            if !message.isEmpty {
                Text(message).foregroundStyle(.red)
            }
            result
            Spacer()
        }
        .padding()
        .frame(minWidth: 320, minHeight: 480)
        .onAppear { bringToFront() }
        .fileImporter(isPresented: $isChoosing, allowedContentTypes: [.folder]) { choose($0) }
    }

    private var folderRow: some View {
        HStack {
            TextField("Bundle folder", text: $folder)
            Button("Choose…") { isChoosing = true }
            Button("Open") { Task { await openBundle() } }.disabled(isBusy)
        }
    }

    private var wordRow: some View {
        HStack {
            TextField("Word", text: $word).onSubmit { Task { await encodeWord() } }
            Button("Encode") { Task { await encodeWord() } }.disabled(isBusy || encoder == nil)
        }
    }

    @ViewBuilder private var result: some View {
        if isBusy {
            ProgressView()
        } else if let found {
            Text(found.id.description).font(.largeTitle)
            Text(found.note).foregroundStyle(.secondary)
            ForEach(found.labels, id: \.self) { label in
                Text("\(label.name): \(label.value)")
            }
            Divider()
            ForEach(found.neighbours, id: \.self) { neighbour in
                Text("\(neighbour.word)  \(neighbour.cosine.formatted(.number.precision(.fractionLength(3))))")
            }
        }
    }

    private func choose(_ result: Result<URL, any Error>) {
        switch result {
        case .success(let url):
            _ = url.startAccessingSecurityScopedResource()
            folder = url.path
        case .failure(let error):
            message = error.localizedDescription
        }
    }

    private func openBundle() async {
        isBusy = true
        message = ""
        encoder = nil
        found = nil
        do {
            encoder = try await SemanticEncoder(url: URL(fileURLWithPath: folder, isDirectory: true))
        } catch {
            message = error.localizedDescription
        }
        isBusy = false
        await encodeWord()
    }

    private func encodeWord() async {
        guard let encoder else { return }
        message = ""
        do {
            let whole = try await encoder.encodeWhole(word)
            let id = encoder.words.id(of: word) ?? whole.id
            let time = whole.milliseconds.formatted(.number.precision(.fractionLength(2)))
            found = Found(
                id: id,
                labels: encoder.labels(id),
                neighbours: encoder.nearest(to: whole.vector, count: 10),
                note: "\(time) ms" + (whole.isTruncated ? "; the text was cut" : "")
            )
        } catch {
            message = error.localizedDescription
        }
    }

    /// The first argument, else the folder that holds this package.
    private nonisolated static func defaultFolder() -> String {
        if let argument = CommandLine.arguments.dropFirst().first, !argument.hasPrefix("-") {
            return argument
        }
        return (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }.path
    }

    /// Started from a terminal, a macOS program is not in front by itself.
    private func bringToFront() {
        #if os(macOS)
        _ = NSApplication.shared.setActivationPolicy(.regular)
        NSApplication.shared.activate(ignoringOtherApps: true)
        #endif
    }
}
#endif
