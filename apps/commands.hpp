// The subcommands of `spillway`. Each returns the exit status: 0 all went well,
// 1 something failed and was told, 3 it went to its end but samples were lost.
#pragma once

#include <optional>
#include <string>

namespace spillway::apps {

struct RecordArguments {
  std::string configuration;
  std::string output_directory = ".";
  bool force = false;
  bool quiet = false;
  bool json = false;
  std::optional<double> duration_s;
};
int record(const RecordArguments& arguments);

struct InfoArguments {
  std::string path;
  bool json = false;
};
int info(const InfoArguments& arguments);

struct DemoArguments {
  std::string output_directory = "spillway-demo";
  double duration_s = 5.0;
};
int demo(const DemoArguments& arguments);

}  // namespace spillway::apps
