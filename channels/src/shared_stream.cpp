#include "spillway/channels/shared_stream.hpp"

#include "segment.hpp"

namespace spillway {

AttachedStream::AttachedStream(const std::string& name) : stream_(SharedSegment::attach(name)) {}

Publisher AttachedStream::publisher() const noexcept {
  // The lock first: a publisher that finishes says so before it lets go.
  if (stream_.segment_->is_locked()) return Publisher::alive;
  return stream_.segment_->is_finished() ? Publisher::finished : Publisher::gone;
}

bool AttachedStream::is_replaced() const noexcept { return !stream_.segment_->is_current(); }

std::int64_t AttachedStream::process() const noexcept { return stream_.segment_->header().process; }

std::int64_t AttachedStream::started_ns() const noexcept {
  return stream_.segment_->header().started_ns;
}

std::vector<std::string> published_streams() { return SharedSegment::names(); }

}  // namespace spillway
