import Foundation

/// A folder that takes long to make: it is made once for all processes, and again where it can't be opened.
struct KeptFolder {
    let url: URL

    /// Opens the folder; where that fails, makes another, puts it there and opens that.
    ///
    /// One process at a time makes it, and the others wait for that one.
    func open<Opened: Sendable>(
        _ open: (URL) async throws -> Opened, else make: () async throws -> URL
    ) async throws -> Opened {
        if let opened = await kept(open) {
            return opened
        }
        let files = FileManager.default
        try files.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        return try await FileLock.holding(url.appendingPathExtension("lock")) {
            if let opened = await kept(open) {
                return opened
            }
            let made = try await make()
            // First beside its place, which may be a copy from another volume; then one rename.
            let beside = url.appendingPathExtension("new")
            try? files.removeItem(at: beside)
            try files.moveItem(at: made, to: beside)
            try? files.removeItem(at: url)
            try files.moveItem(at: beside, to: url)
            return try await open(url)
        }
    }

    private func kept<Opened: Sendable>(_ open: (URL) async throws -> Opened) async -> Opened? {
        FileManager.default.fileExists(atPath: url.path) ? try? await open(url) : nil
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
