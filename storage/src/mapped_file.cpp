#include "mapped_file.hpp"

#include <sys/mman.h>

namespace spillway {

std::optional<MappedFile> MappedFile::of(const File& file) {
  // Descriptors of other FileCalls mean nothing to the system.
  if (&file.calls() != &system_file_calls()) return std::nullopt;
  const std::uint64_t size = file.size();
  if (size == 0) return std::nullopt;
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (at == MAP_FAILED) return std::nullopt;
  return MappedFile({static_cast<const std::byte*>(at), size});
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace spillway
