import Foundation

/// A file's bytes, mapped: the system reads what is looked at, and takes it back where memory is short.
///
/// The bytes never change, so that any task may read them.
final class MappedFile: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private static let pageSize = Int(getpagesize())
    /// Bytes of a scan that are held at a time.
    private static let block = 1 << 20

    init(_ url: URL) throws {
        func failure() -> WOTDError {
            WOTDError("\(url.lastPathComponent) can't be read: \(String(cString: strerror(errno)))")
        }
        let file = open(url.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure() }
        defer { close(file) }
        var about = stat()
        guard fstat(file, &about) == 0 else { throw failure() }
        guard about.st_mode & S_IFMT == S_IFREG, about.st_size > 0 else {
            throw WOTDError("\(url.lastPathComponent) is empty or no file; export the bundle again")
        }
        let size = Int(about.st_size)
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file, 0), start != MAP_FAILED else { throw failure() }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    /// The number at a place, which must lie within the file.
    func uint32(at offset: Int) -> Int {
        Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    func uint16(at offset: Int) -> Int {
        Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
    }

    func float(at offset: Int) -> Float {
        Float(bitPattern: UInt32(uint32(at: offset)))
    }

    /// Reads `count` rows of `size` bytes from a place on, some at a time, and gives their memory back: a widget has
    /// little, and what was read stays in the system's cache for the next time.
    func scan(from start: Int, rows count: Int, of size: Int, _ body: (Range<Int>, UnsafeRawBufferPointer) -> Void) {
        let step = max(1, MappedFile.block / max(1, size))
        for first in stride(from: 0, to: count, by: step) {
            let rows = first..<min(count, first + step)
            let range = (start + rows.lowerBound * size)..<(start + rows.upperBound * size)
            body(rows, UnsafeRawBufferPointer(rebasing: bytes[range]))
            release(range)
        }
    }

    private func release(_ range: Range<Int>) {
        let first = range.lowerBound / MappedFile.pageSize * MappedFile.pageSize
        let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.advanced(by: first)
        madvise(start, range.upperBound - first, MADV_DONTNEED)
    }
}
