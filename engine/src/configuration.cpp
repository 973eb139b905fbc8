#include "spillway/engine/configuration.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "record_check.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"
#include "strict_yaml.hpp"
#include "text_file.hpp"

namespace spillway {

namespace {

namespace fs = std::filesystem;

// ${NAME} from the environment: data lies elsewhere on every machine.
std::string expand(const yaml::Value& value) {
  std::string text = value.text();
  for (std::size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at)) {
    const std::size_t end = text.find('}', at);
    if (end == std::string::npos) value.fail(fmt::format("'{}': a '${{' without its '}}'", text));
    const std::string name = text.substr(at + 2, end - at - 2);
    const char* found = std::getenv(name.c_str());
    if (!found) value.fail(fmt::format("'{}': the environment variable {} is not set", text, name));
    text.replace(at, end - at + 1, found);
    at += std::strlen(found);
  }
  return text;
}

bool real_time(const yaml::Map& map, bool otherwise) {
  const auto value = map.find("speed");
  return value ? value->word({"real", "max"}) == 0 : otherwise;
}

GeneratedChannel channel_from(const yaml::Value& value) {
  const yaml::Map unnamed = value.map();
  GeneratedChannel channel;
  channel.name = unnamed.require("name").text();
  const yaml::Map map(value.node(), unnamed.file(), fmt::format("channel '{}'", channel.name));
  map.allow_only({"name", "unit", "shape", "frequency", "end_frequency", "sweep", "amplitude",
                  "offset", "noise", "limit"});
  if (const auto v = map.find("unit")) channel.unit = v->text();
  if (const auto v = map.find("shape"))
    channel.shape = static_cast<Shape>(v->word({"sine", "square", "noise", "chirp"}));
  if (const auto v = map.find("frequency")) channel.frequency = v->frequency();
  channel.end_frequency = channel.frequency;
  if (const auto v = map.find("end_frequency")) channel.end_frequency = v->frequency();
  if (const auto v = map.find("sweep")) channel.sweep = v->duration();
  if (const auto v = map.find("amplitude")) channel.amplitude = v->number();
  if (const auto v = map.find("offset")) channel.offset = v->number();
  if (const auto v = map.find("noise")) channel.noise = v->number();
  if (const auto v = map.find("limit")) channel.limit = v->number();
  return channel;
}

constexpr std::int64_t most = std::int64_t{1} << 53;

Fault fault_from(const yaml::Value& value, const SignalGenerator& generator) {
  const yaml::Map map = value.map();
  map.allow_only({"kind", "channel", "first", "count", "every"});
  Fault fault;
  fault.kind =
      static_cast<Fault::Kind>(map.require("kind").word({"lost", "saturated", "nan", "stuck"}));
  if (const auto v = map.find("channel")) {
    const std::string name = v->text();
    const auto found = std::ranges::find(generator.channels, name, &GeneratedChannel::name);
    if (found == generator.channels.end())
      v->fail(fmt::format("the generator has no channel '{}'", name));
    fault.channel = static_cast<std::size_t>(found - generator.channels.begin());
  }
  fault.first = static_cast<std::uint64_t>(map.require("first").integer(0, most));
  fault.count = static_cast<std::uint64_t>(map.require("count").integer(1, most));
  if (const auto v = map.find("every"))
    fault.every = static_cast<std::uint64_t>(v->integer(1, most));
  return fault;
}

SignalGenerator generator_from(const yaml::Map& map) {
  map.allow_only(
      {"type", "name", "rate", "channels", "faults", "seed", "duration", "speed", "capacity"});
  SignalGenerator generator;
  generator.name = map.require("name").text();
  generator.rate = map.require("rate").frequency();
  for (const yaml::Value& v : map.require("channels").list())
    generator.channels.push_back(channel_from(v));
  if (const auto v = map.find("faults"))
    for (const yaml::Value& f : v->list()) generator.faults.push_back(fault_from(f, generator));
  if (const auto v = map.find("seed"))
    generator.seed = static_cast<std::uint64_t>(v->integer(0, most));
  if (const auto v = map.find("duration")) generator.duration = v->duration();
  if (const auto v = map.find("capacity")) generator.capacity = v->duration();
  generator.real_time = real_time(map, true);
  return generator;
}

RecordingSource recording_from(const yaml::Map& map) {
  map.allow_only({"type", "path", "streams", "speed", "rate"});
  RecordingSource source;
  const yaml::Value path = map.require("path");
  source.path = (fs::path(map.file()).parent_path() / expand(path)).string();
  struct stat info {};
  if (::stat(source.path.c_str(), &info) != 0)
    path.fail(fmt::format("{}: {}", source.path, std::strerror(errno)));
  if (const auto v = map.find("streams"))
    for (const yaml::Value& s : v->list()) source.streams.push_back(s.text());
  source.real_time = real_time(map, false);
  if (const auto v = map.find("rate")) source.rate = Rate(v->frequency());
  return source;
}

template <class Source>
Source machine_from(const yaml::Map& map) {
  map.allow_only({"type", "name", "period", "duration"});
  Source source;
  if (const auto v = map.find("name")) source.name = v->text();
  if (const auto v = map.find("period")) source.period = v->duration();
  if (const auto v = map.find("duration")) source.duration = v->duration();
  return source;
}

SourceConfiguration source_from(const yaml::Value& value) {
  const yaml::Map map = value.map();
  switch (map.require("type").word({"generator", "recording", "timing", "load"})) {
    case 0: return generator_from(map);
    case 1: return recording_from(map);
    case 2: return machine_from<TimingJitter>(map);
    default: return machine_from<MachineLoad>(map);
  }
}

std::uint64_t size_from(const yaml::Value& value) {
  const double bytes =
      value.with_unit({{"MiB", 0x1p20}, {"GiB", 0x1p30}, {"KiB", 0x1p10}, {"TiB", 0x1p40}});
  if (!(bytes >= 1.0 && bytes <= 0x1p60)) value.fail("must be from 1 KiB to 2^20 TiB");
  return static_cast<std::uint64_t>(bytes);
}

// Split and Keep: {size: 1 GiB, duration: 1 h}, one of them or both.
template <class Limits>
Limits limits_from(const yaml::Value& value) {
  const yaml::Map map = value.map();
  map.allow_only({"size", "duration"});
  Limits limits;
  if (const auto v = map.find("size")) limits.bytes = size_from(*v);
  if (const auto v = map.find("duration")) {
    limits.duration = v->duration();
    if (limits.duration < std::chrono::seconds(1)) v->fail("at least 1 s is needed");
  }
  if (!limits.any()) value.fail("needs a size, a duration or both");
  return limits;
}

// What is wrong with the value under `key`, with its place.
template <class Read>
auto read_at(const yaml::Value& value, Read read) -> decltype(read(value.text())) {
  try {
    return read(value.text());
  } catch (const Error& e) {
    value.fail(e.what());
  }
}

RecordConfiguration record_from(const yaml::Value& value) {
  const yaml::Map map = value.map();
  map.allow_only({"path", "flush", "streams", "durability", "compression", "threads", "compatible",
                  "form", "split", "master", "keep"});
  RecordConfiguration record;
  RecordOptions& options = record.options;
  record.where = value.where();
  options.path = expand(map.require("path"));
  const bool is_csv = options.path.ends_with(".csv");
  const auto only_hdf5 = [&](const yaml::Value& v) {
    if (is_csv) v.fail("is for HDF5 recordings, and this is a CSV");
  };
  if (const auto v = map.find("flush")) {
    options.flush = v->duration();
    if (options.flush < std::chrono::milliseconds(1)) v->fail("at least 1 ms is needed");
  }
  if (const auto v = map.find("durability"))
    options.durability = read_at(*v, [](const std::string& t) { return durability_from(t); });
  if (const auto v = map.find("compression")) {
    only_hdf5(*v);
    options.compression = static_cast<int>(v->integer(0, 12));
  }
  if (const auto v = map.find("threads")) {
    only_hdf5(*v);
    if (options.compression == 0) v->fail("these are threads that compress; needs a compression");
    options.compression_threads = static_cast<std::size_t>(v->integer(0, 64));
  }
  if (const auto v = map.find("compatible")) {
    only_hdf5(*v);
    options.compatible = v->yes_or_no();
  }
  if (const auto v = map.find("form")) {
    if (!is_csv) v->fail("is for CSV recordings");
    options.form = read_at(*v, [](const std::string& t) { return csv_form_from(t); });
  }
  if (const auto v = map.find("split")) options.split = limits_from<Split>(*v);
  if (const auto v = map.find("master")) {
    only_hdf5(*v);
    options.master = v->yes_or_no();
    if (options.master && !options.split.any())
      v->fail("a master shows several files as one; needs a split");
  }
  if (const auto v = map.find("keep")) {
    if (!options.split.any()) v->fail("only whole files can be deleted; needs a split");
    options.keep = limits_from<Keep>(*v);
    if (options.keep.bytes > 0 && options.keep.bytes < options.split.bytes)
      v->fail("the size is less than that of one file");
    if (options.keep.duration > Time(0) && options.keep.duration < options.split.duration)
      v->fail("the duration is less than that of one file");
  }
  if (const auto v = map.find("streams"))
    for (const yaml::Value& s : v->list()) record.streams.push_back(s.text());
  return record;
}

// "ecg", or {stream: ecg, name: bed7-ecg}.
Publication publication_from(const yaml::Value& value) {
  Publication publication;
  if (value.is_map()) {
    const yaml::Map map = value.map();
    map.allow_only({"stream", "name"});
    publication.stream = map.require("stream").text();
    publication.name = map.require("name").text();
  } else {
    publication.stream = value.text();
    publication.name = publication.stream;
  }
  try {
    check_name("published stream", publication.name);
  } catch (const Error& e) {
    value.fail(e.what());
  }
  return publication;
}

}  // namespace

Configuration parse_configuration(const std::string& text, const std::string& file) {
  const YAML::Node document = yaml::parse(text, file);
  if (!document.IsMap())
    throw Error(fmt::format(
        "{}: a configuration is a mapping of keys: title, sources, graph, record", file));
  const yaml::Map map(document, file, "the configuration");
  map.allow_only({"title", "duration", "memory_budget", "sources", "graph", "record", "publish"});
  Configuration configuration;
  configuration.file = file;
  configuration.text = text;
  if (const auto v = map.find("title")) configuration.title = v->text();
  if (const auto v = map.find("duration")) {
    configuration.duration = v->duration();
    if (configuration.duration->count() == 0) v->fail("must be longer than 0");
  }
  if (const auto v = map.find("memory_budget")) {
    const double bytes = v->with_unit({{"MiB", 0x1p20}, {"GiB", 0x1p30}, {"KiB", 0x1p10}});
    if (!(bytes >= 1.0 && bytes <= 0x1p50)) v->fail("must be from 1 KiB to 2^20 GiB");
    configuration.memory_budget = static_cast<std::uint64_t>(bytes);
  }
  for (const yaml::Value& v : map.require("sources").list())
    configuration.sources.push_back(source_from(v));
  if (configuration.sources.empty()) map.require("sources").fail("at least one source is needed");
  configuration.graph = graph_from_yaml(text, file);
  if (const auto list = map.find("publish"))
    for (const yaml::Value& v : list->list()) {
      Publication publication = publication_from(v);
      for (const Publication& other : configuration.publish) {
        if (other.stream == publication.stream)
          v.fail(fmt::format("'{}' is published already", publication.stream));
        if (other.name == publication.name)
          v.fail(fmt::format("something else is published as '{}' already", publication.name));
      }
      configuration.publish.push_back(std::move(publication));
      configuration.publish_where.push_back(v.where());
    }
  if (const auto list = map.find("record")) {
    for (const yaml::Value& v : list->list()) configuration.recordings.push_back(record_from(v));
    if (configuration.recordings.empty()) list->fail("at least one recording is needed");
  } else if (configuration.publish.empty()) {
    map.fail(document.Mark(),
             "nothing becomes of the samples: 'record', 'publish' or both are needed");
  }
  return configuration;
}

Configuration read_configuration(const std::string& path) {
  return parse_configuration(read_text(path, "a configuration file"), path);
}

EngineOptions engine_options(const Configuration& configuration) {
  EngineOptions options;
  options.title = configuration.title;
  options.memory_budget = configuration.memory_budget;
  options.configuration = configuration.text;
  options.publish = configuration.publish;
  return options;
}

namespace {

// What the sources leave out or assume.
std::vector<std::string> add_sources_and_graph(Engine& engine, const Configuration& configuration) {
  std::vector<std::string> remarks;
  for (const SourceConfiguration& source : configuration.sources) {
    std::visit(
        [&]<class S>(const S& s) {
          if constexpr (std::is_same_v<S, RecordingSource>) {
            for (std::string& remark : add_source(engine, s)) remarks.push_back(std::move(remark));
          } else {
            add_source(engine, s);
          }
        },
        source);
  }
  engine.graph().add(configuration.graph);
  return remarks;
}

// What is published and recorded must be there.
void check_names(const Engine& engine, const Configuration& configuration) {
  const std::vector<std::string> known = engine.names();
  const auto check = [&](const std::string& where, const std::string& name) {
    if (std::ranges::find(known, name) == known.end())
      throw Error(
          fmt::format("{}: no stream or node '{}'{}", where, name, yaml::suggestion(name, known)));
  };
  for (std::size_t i = 0; i < configuration.publish.size(); ++i)
    check(configuration.publish_where[i], configuration.publish[i].stream);
  for (const RecordConfiguration& record : configuration.recordings)
    for (const std::string& name : record.streams) check(record.where, name);
}

struct WantedRecording {
  RecordOptions options;
  std::vector<Signal> signals;
  std::string where;
};

// Of each that the configuration asks for one, or one for each stream; no file is touched.
std::vector<WantedRecording> wanted_recordings(const Engine& engine,
                                               const Configuration& configuration,
                                               const std::string& output_directory) {
  constexpr std::string_view placeholder = "{stream}";
  const std::vector<std::string> known = engine.names();
  std::vector<WantedRecording> wanted;
  for (const RecordConfiguration& record : configuration.recordings) {
    const std::vector<std::string>& streams = record.streams.empty() ? known : record.streams;
    const RecordOptions& options = record.options;
    const auto fail = [&](const std::string& what) {
      throw Error(fmt::format("{}: {}", record.where, what));
    };
    const auto add = [&](const std::string& name, const std::vector<std::string>& names) {
      const std::string path = (fs::path(output_directory) / name).string();
      // Numbered files without a master have other names than the path.
      const auto is_same = [&](const WantedRecording& other) {
        const auto has_path = [](const RecordOptions& o) { return !o.split.any() || o.master; };
        return fs::path(other.options.path).lexically_normal() ==
                   fs::path(path).lexically_normal() &&
               has_path(other.options) == has_path(options);
      };
      if (std::ranges::any_of(wanted, is_same))
        fail(
            fmt::format("{}: another recording of this run has that path already; each needs one "
                        "of its own",
                        path));
      wanted.push_back({options, {}, record.where});
      wanted.back().options.path = path;
      for (const std::string& signal : names) wanted.back().signals.push_back({signal});
      try {
        check(wanted.back().options);
      } catch (const Error& error) {
        fail(error.what());
      }
    };
    if (options.path.find(placeholder) != std::string::npos) {
      for (const std::string& name : streams) {
        std::string path = options.path;
        for (std::size_t p = path.find(placeholder); p != std::string::npos;
             p = path.find(placeholder, p + name.size()))
          path.replace(p, placeholder.size(), name);
        add(path, {name});
      }
      continue;
    }
    if (options.path.ends_with(".csv") && options.form == CsvOptions::Form::wide &&
        streams.size() != 1)
      fail(
          fmt::format("{}: wide CSV holds one stream, not {}; name one under 'streams', put "
                      "{{stream}} into the path for a file each, or take 'form: long'",
                      options.path, streams.size()));
    add(options.path, streams);
  }
  return wanted;
}

}  // namespace

Graph prepare_graph(Engine& engine, const Configuration& configuration) {
  (void)add_sources_and_graph(engine, configuration);
  Graph graph = engine.prepared_graph();
  check_names(engine, configuration);
  static_cast<void>(wanted_recordings(engine, configuration, ""));
  return graph;
}

std::vector<std::string> set_up(Engine& engine, const Configuration& configuration,
                                const std::string& output_directory, Existing existing) {
  std::vector<std::string> remarks = add_sources_and_graph(engine, configuration);
  // Wrong graphs are told before any file is claimed.
  (void)engine.prepared_graph();
  check_names(engine, configuration);
  for (WantedRecording& wanted : wanted_recordings(engine, configuration, output_directory)) {
    wanted.options.existing = existing;
    try {
      engine.record(std::move(wanted.options), std::move(wanted.signals));
    } catch (const Error& e) {
      throw Error(fmt::format("{}: {}", wanted.where, e.what()));
    }
  }
  return remarks;
}

}  // namespace spillway
