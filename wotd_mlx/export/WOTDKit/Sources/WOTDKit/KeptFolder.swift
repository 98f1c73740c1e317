import Foundation

/// A folder that takes long to make: it is made once for all processes, and again where it can't be opened.
struct KeptFolder {
    let url: URL
    private let parent: URL
    private let name: String
    private let type: String

    /// What is kept in `parent` under a name, made from what `key` stands for; another key is another version of it.
    init(in parent: URL, name: String, key: String, type: String) {
        self.parent = parent
        self.name = name
        self.type = type
        url = parent.appendingPathComponent("\(name)-\(key).\(type)", isDirectory: true)
    }

    /// Opens the folder; where that fails, makes another, puts it there, removes other versions and opens that.
    ///
    /// One process at a time makes it, and the others wait for that one.
    func open<Opened: Sendable>(
        _ open: (URL) async throws -> Opened, else make: () async throws -> URL
    ) async throws -> Opened {
        if let opened = await kept(open) {
            return opened
        }
        try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
        return try await FileLock.holding(parent.appendingPathComponent("\(name).lock")) {
            if let opened = await kept(open) {
                return opened
            }
            try place(try await make())
            removeOthers()
            return try await open(url)
        }
    }

    private func kept<Opened: Sendable>(_ open: (URL) async throws -> Opened) async -> Opened? {
        FileManager.default.fileExists(atPath: url.path) ? try? await open(url) : nil
    }

    private func place(_ made: URL) throws {
        let files = FileManager.default
        // First beside its place, which may be a copy from another volume; then one rename.
        let beside = url.appendingPathExtension("new")
        try? files.removeItem(at: beside)
        try files.moveItem(at: made, to: beside)
        try? files.removeItem(at: url)
        try files.moveItem(at: beside, to: url)
    }

    /// Who still uses an older version has its files open, and keeps them.
    private func removeOthers() {
        let found = try? FileManager.default.contentsOfDirectory(at: parent, includingPropertiesForKeys: nil)
        for other in found ?? [] where other.lastPathComponent != url.lastPathComponent && isVersion(other) {
            try? FileManager.default.removeItem(at: other)
        }
    }

    /// Whether a file is a version, a part of one that was never finished, or a lock of one.
    private func isVersion(_ file: URL) -> Bool {
        guard file.lastPathComponent.hasPrefix("\(name)-") else { return false }
        let key = file.lastPathComponent.dropFirst(name.count + 1)
        let rest = key.drop(while: \.isHexDigit)
        return rest.count < key.count && (rest == ".\(type)" || rest.hasPrefix(".\(type)."))
    }
}

/// A lock that a file stands for, between processes and within one; it ends with its process.
enum FileLock {
    /// Runs `body` while nobody else holds the lock; a task that waits for it may be cancelled.
    static func holding<Value: Sendable>(_ url: URL, _ body: () async throws -> Value) async throws -> Value {
        let file = open(url.path, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            throw WOTDError("\(url.path) can't be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        // A waiting call would hold one of the few threads that all tasks share.
        while flock(file, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                throw WOTDError("\(url.path) can't be locked: \(String(cString: strerror(errno)))")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try await body()
    }
}
