#include "csv_format.hpp"

#include <fmt/format.h>

#include "spillway/channels/error.hpp"

namespace spillway {

const char* to_string(CsvOptions::Form form) noexcept {
  return form == CsvOptions::Form::wide ? "wide" : "long";
}

CsvOptions::Form csv_form_from(const std::string& name) {
  for (const auto form : {CsvOptions::Form::wide, CsvOptions::Form::long_form})
    if (name == to_string(form)) return form;
  throw Error(fmt::format("form '{}': allowed are wide, long", name));
}

}  // namespace spillway

namespace spillway::csv {

namespace {

std::string quoted(const std::string& name) {
  // RFC 4180 keeps blanks at the ends, but not every reader does.
  if (name.find_first_of(",\"") == std::string::npos && name.front() != ' ' && name.back() != ' ')
    return name;
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text + '"';
}

}  // namespace

std::string header(CsvOptions::Form form, const std::vector<StreamInfo>& streams) {
  std::string text = "time_ns,channel,value,quality";
  if (form == CsvOptions::Form::wide) {
    text = "sample,time_ns";
    for (const ChannelInfo& channel : streams.at(0).channels)
      text += "," + quoted(channel.name) + "," + quoted(channel.name + "_quality");
  }
  return text.append(line_end);
}

std::string channel_field(const std::vector<StreamInfo>& streams, std::size_t stream,
                          std::size_t channel) {
  const StreamInfo& info = streams[stream];
  const std::string& name = info.channels[channel].name;
  return "," + quoted(streams.size() > 1 ? info.name + "/" + name : name) + ",";
}

}  // namespace spillway::csv
