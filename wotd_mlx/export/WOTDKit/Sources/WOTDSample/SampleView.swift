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
    @State private var folder: String = SampleView.defaultFolder()
    @State private var word: String = "twilight"
    @State private var encoder: SemanticEncoder? = nil
    @State private var encoding: WOTDKit.Encoding? = nil
    @State private var labels: [CodeLabel] = []
    @State private var neighbours: [Neighbour] = []
    @State private var message: String = ""
    @State private var isBusy: Bool = false
    @State private var isChoosing: Bool = false

    var body: some View {
        VStack(alignment: .leading, spacing: 12) {
            folderRow
            wordRow
            if !message.isEmpty {
                Text(message).foregroundColor(.red)
            }
            result
            Spacer()
        }
        .padding()
        .frame(minWidth: 320, minHeight: 480)
        .onAppear {
            bringToFront()
        }
        .fileImporter(isPresented: $isChoosing, allowedContentTypes: [UTType.folder]) { (result: Result<URL, Error>) in
            choose(result)
        }
    }

    private var folderRow: some View {
        HStack {
            TextField("Box folder", text: $folder)
            Button("Choose…") {
                isChoosing = true
            }
            Button("Open") {
                Task { await openBox() }
            }
            .disabled(isBusy)
        }
    }

    private var wordRow: some View {
        HStack {
            TextField("Word", text: $word)
                .onSubmit {
                    Task { await encodeWord() }
                }
            Button("Encode") {
                Task { await encodeWord() }
            }
            .disabled(isBusy || encoder == nil)
        }
    }

    @ViewBuilder private var result: some View {
        if isBusy {
            ProgressView()
        } else if let encoding = encoding {
            Text(encoding.id.description).font(.largeTitle)
            Text(String(format: "%.2f ms", encoding.milliseconds)).foregroundColor(.secondary)
            ForEach(labels, id: \.self) { (label: CodeLabel) in
                Text(label.name + ": " + label.value)
            }
            Divider()
            ForEach(neighbours, id: \.self) { (neighbour: Neighbour) in
                Text(neighbour.word + "  " + String(format: "%.3f", Double(neighbour.cosine)))
            }
        }
    }

    private func choose(_ result: Result<URL, Error>) {
        switch result {
        case .success(let url):
            _ = url.startAccessingSecurityScopedResource()
            folder = url.path
        case .failure(let error):
            message = error.localizedDescription
        }
    }

    private func openBox() async {
        isBusy = true
        message = ""
        encoder = nil
        encoding = nil
        do {
            let url = URL(fileURLWithPath: folder, isDirectory: true)
            encoder = try await SemanticEncoder(url: url)
        } catch {
            message = error.localizedDescription
        }
        isBusy = false
        if encoder != nil {
            await encodeWord()
        }
    }

    private func encodeWord() async {
        guard let encoder = encoder else {
            return
        }
        message = ""
        do {
            let found: WOTDKit.Encoding = try await encoder.encodeWhole(word)
            encoding = found
            labels = encoder.labels(found.id)
            neighbours = encoder.nearest(to: found.vector, count: 10)
        } catch {
            message = error.localizedDescription
        }
    }

    /// The first argument, else the folder that holds this package.
    nonisolated private static func defaultFolder() -> String {
        let arguments: [String] = CommandLine.arguments
        if arguments.count > 1 && !arguments[1].hasPrefix("-") {
            return arguments[1]
        }
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 {
            url.deleteLastPathComponent()
        }
        return url.path
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
