#include "streams.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

std::unique_ptr<EngineStream> Streams::make(StreamInfo info, std::uint64_t besides) const {
  for (const Publication& publication : publications_)
    if (publication.stream == info.name) {
      if (!info.publish_as.empty())
        throw Error(fmt::format("stream '{}' is to be published twice, as '{}' and '{}'", info.name,
                                info.publish_as, publication.name));
      info.publish_as = publication.name.empty() ? info.name : publication.name;
    }
  check(info);
  if (find(info.name)) throw Error(fmt::format("stream '{}' exists already", info.name));
  const std::uint64_t bytes = Stream::memory_bytes(info);
  const std::uint64_t left = memory_left();
  if (besides > left || bytes > left - besides)
    throw Error(
        fmt::format("stream '{}' needs {:.1f} MiB for its ring; {:.1f} MiB of the memory budget "
                    "of {:.1f} MiB are taken",
                    info.name, static_cast<double>(bytes) / 1048576.0,
                    static_cast<double>(budget_ - left + besides) / 1048576.0,
                    static_cast<double>(budget_) / 1048576.0));
  auto made = std::make_unique<EngineStream>();
  made->stream = std::make_unique<Stream>(std::move(info));
  return made;
}

EngineStream& Streams::adopt(std::unique_ptr<EngineStream> made) {
  const std::scoped_lock lock(mutex_);
  taken_ += Stream::memory_bytes(made->stream->info());
  EngineStream& added = *all_.emplace_back(std::move(made));
  by_name_.emplace(added.stream->info().name, &added);
  return added;
}

EngineStream* Streams::find_locked(const std::string& name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

EngineStream* Streams::find(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  return find_locked(name);
}

EngineStream& Streams::get(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  if (EngineStream* found = find_locked(name)) return *found;
  std::string known;
  for (const auto& s : all_)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", s->stream->info().name);
  throw Error(fmt::format("no stream or node '{}'; there are: {}", name, known));
}

std::vector<EngineStream*> Streams::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<EngineStream*> all;
  all.reserve(all_.size());
  for (const auto& s : all_) all.push_back(s.get());
  return all;
}

std::uint64_t Streams::memory_left() const {
  const std::scoped_lock lock(mutex_);
  return budget_ - std::min(budget_, taken_);
}

}  // namespace spillway
