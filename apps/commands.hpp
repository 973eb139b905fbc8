// The subcommands of `spillway`. Each returns the exit status: 0 all went well,
// 1 something failed and was told, 3 it went to its end but samples were lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  bool json = false;
};
int info(const InfoArguments& arguments);

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
