// The subcommands of `spillway`. Each returns the exit status: 0 all went well,
// 1 something failed and was told, 3 it went to its end but samples were lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "foreign_arguments.hpp"

namespace spillway::apps {

struct RecordArguments {
  std::string configuration;
  std::string output_directory = ".";
  bool force = false;
  bool quiet = false;
  bool json = false;
  std::optional<double> duration_s;
  std::string durability;   // of all recordings; empty: as the configuration says
  bool compatible = false;  // all HDF5 recordings
};
int record(const RecordArguments& arguments);

struct InfoArguments {
  std::string path;
  ForeignArguments foreign;
  bool json = false;
};
int info(const InfoArguments& arguments);

struct ViewArguments {
  std::string path;
  ForeignArguments foreign;
  std::vector<std::string>
      channels;       // "stream/channel", a stream's or a channel's name; empty: all
  std::string range;  // see range.hpp; empty: all
  bool raw = false;
  std::string svg;                     // file to draw into, instead of the terminal
  std::string html;                    // file for a page, instead of the terminal
  bool force = false;                  // replace it
  std::optional<std::size_t> columns;  // of the terminal, or pixels of the drawing
  std::optional<std::size_t> height;   // lines of a plot, or pixels of a panel
};
int view(const ViewArguments& arguments);

struct RecoverArguments {
  std::string path;    // an unfinished recording, or a directory of them
  std::string output;  // empty: named after the path
  bool json = false;
};
// 0 everything acknowledged was saved, 3 not everything, 1 nothing to save, or an error.
int recover(const RecoverArguments& arguments);

struct VerifyArguments {
  std::vector<std::string> paths;
  bool json = false;
};
// 0 they hold, 1 one of them does not, or can't be read.
int verify(const VerifyArguments& arguments);

struct ExportArguments {
  std::string path;
  std::string output;
  std::vector<std::string> channels;  // "stream" or "stream/channel"; empty: all
  std::string range;                  // as range.hpp says; empty: all
  std::optional<std::uint64_t> every;
  std::optional<double> rate_hz;
  std::string by = "minmax";
  bool long_form = false;
  bool force = false;
  bool quiet = false;
  bool json = false;
  ForeignArguments foreign;
};
// Named so because `export` is a word of the language.
int export_recording(const ExportArguments& arguments);

struct ReplayArguments {
  std::string path;
  std::string output;
  std::string graph;                 // YAML; empty: the recorded one
  std::string calibration;           // YAML; empty: the recorded ones
  std::string range;                 // as range.hpp says; empty: all
  std::vector<std::string> outputs;  // empty: as ReplayOptions says
  bool complete = false;
  bool check = false;
  bool resume = false;
  std::size_t threads = 0;
  std::optional<double> speed;
  bool force = false;
  bool quiet = false;
  bool json = false;
  ForeignArguments foreign;
};
// 3: it went to its end, but the output can't be what the live graph gave; of a check: it differs
// from the recording, and why is told.
int replay_recording(const ReplayArguments& arguments);

struct CalibrateArguments {
  std::string path;
  std::string calibrations;  // YAML; empty: none
  ForeignArguments foreign;
  bool list = false;
  bool json = false;
};
int calibrate(const CalibrateArguments& arguments);

struct DemoArguments {
  std::string output_directory = "spillway-demo";
  double duration_s = 5.0;
};
int demo(const DemoArguments& arguments);

struct ChannelsArguments {
  bool json = false;
};
int channels(const ChannelsArguments& arguments);

struct TailArguments {
  std::string name;
  std::uint64_t samples = 10;  // to begin with
  bool raw = false;
  std::optional<double> every_s;  // a summary each so many seconds instead of samples
  std::optional<double> duration_s;
};
int tail(const TailArguments& arguments);

struct ResponseArguments {
  std::string path;
  std::string output;             // empty: after the path
  std::optional<double> rate_hz;  // of the streams of a graph alone
  bool force = false;
};
int response(const ResponseArguments& arguments);

struct GraphArguments {
  std::string path;
  std::string output;             // empty: no drawing
  std::optional<double> rate_hz;  // of the streams of a graph alone
  bool force = false;
  bool json = false;
};
int graph(const GraphArguments& arguments);

}  // namespace spillway::apps
