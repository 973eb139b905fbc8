#include "new_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "spillway/channels/error.hpp"

namespace spillway::apps {

NewFile::NewFile(const std::string& path, bool force)
    : file_(path, force ? Existing::replace : Existing::refuse, system_file_calls(), PartName::own),
      buffer_(std::size_t{1} << 20) {
  out_.reset(std::fopen(file_.part().c_str(), "wb"));
  if (!out_) fail();
  static_cast<void>(std::setvbuf(out_.get(), buffer_.data(), _IOFBF, buffer_.size()));
}

NewFile::~NewFile() {
  out_.reset();
  if (!file_.sealed()) file_.discard();
}

void NewFile::write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), out_.get()) != text.size()) fail();
}

void NewFile::close() {
  if (std::fflush(out_.get()) != 0 || std::fclose(out_.release()) != 0) fail();
  file_.seal();
}

void NewFile::fail() {
  throw Error(fmt::format("{}: can't be written: {}", file_.path(), std::strerror(errno)));
}

}  // namespace spillway::apps
