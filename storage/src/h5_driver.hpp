// HDF5's way to the disk: a virtual file driver over FileCalls. Private.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>

#include "spillway/storage/file_calls.hpp"

namespace spillway::h5 {

// Makes files opened with `access` go by `calls`, which must outlive them. SWMR works; locks files
// as HDF5's own driver does. Held: Library.
void set_driver(hid_t access, FileCalls& calls);

// Of a file opened by this driver: what went wrong first in the system calls below it since
// the last question, as errno says; 0: nothing. HDF5 forgets its own words when it is asked.
[[nodiscard]] int take_error(hid_t file);

// Whether raw data was read since the last question of which not all lies in the file: HDF5 got
// zeros for what is behind the end.
[[nodiscard]] bool take_read_behind_end(hid_t file);

// Where the last write of exactly this buffer went: how H5Dwrite_chunk tells the address of a
// chunk, without the search through all chunks that H5Dget_chunk_info_by_coord makes.
// Negative: no such write since the last answer, or another buffer of raw data was written after
// it.
[[nodiscard]] std::int64_t address_of_last_write(hid_t file, const void* buffer);

// For a writer. HDF5 1.10 can't go on with a file after a write below it failed: it forgets the
// chunk or can't flush any more. So from here on a write that fails is kept in memory, as is every
// one after it, and to the library all of them have succeeded: ask take_error(). Memory: what is
// written from the first failure on; closing the file tries once more.
void keep_failed_writes(hid_t file);
// Writes what was kept, in its order. 0: all of it is in the file, and take_error() has nothing to
// tell; else errno, and what is missing stays kept.
[[nodiscard]] int write_kept(hid_t file);

// The driver's descriptor, for FileCalls.
[[nodiscard]] int descriptor(hid_t file);

}  // namespace spillway::h5
