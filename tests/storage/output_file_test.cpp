#include "spillway/storage/output_file.hpp"

#include <sys/stat.h>

#include <memory>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using test::contains;
using test::contents;
using test::exists;
using test::message_of;
using test::TemporaryDirectory;
using test::write_text;

TEST_CASE("OutputFile: claims its path by an empty part file") {
  const TemporaryDirectory directory;
  const OutputFile file(directory / "run.csv", Existing::refuse);
  CHECK(file.path() == directory / "run.csv");
  CHECK(file.part() == directory / "run.csv.part");
  CHECK(exists(file.part()));
  CHECK_FALSE(exists(file.path()));
  CHECK_FALSE(file.sealed());
}

TEST_CASE("OutputFile: seal gives the part its final name") {
  const TemporaryDirectory directory;
  {
    OutputFile file(directory / "run.csv", Existing::refuse);
    write_text(file.part(), "data");
    file.seal();
    CHECK(file.sealed());
    CHECK_FALSE(exists(file.part()));
    CHECK(contents(file.path()) == "data");
  }
  CHECK(contents(directory / "run.csv") == "data");
}

TEST_CASE("OutputFile: an existing file is refused, and left alone") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  write_text(path, "old");
  const std::string message = message_of([&] { OutputFile(path, Existing::refuse); });
  CHECK(contains(message, path));
  CHECK(contains(message, "exists already"));
  CHECK(contents(path) == "old");
  CHECK_FALSE(exists(path + ".part"));
}

TEST_CASE("OutputFile: replace keeps the old file until the seal") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  write_text(path, "old");
  OutputFile file(path, Existing::replace);
  write_text(file.part(), "new");
  CHECK(contents(path) == "old");
  file.seal();
  CHECK(contents(path) == "new");
}

TEST_CASE("OutputFile: a name that was taken meanwhile is not overwritten") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  OutputFile file(path, Existing::refuse);
  write_text(file.part(), "mine");
  write_text(path, "of another");
  const std::string message = message_of([&] { file.seal(); });
  CHECK(contains(message, file.part()));
  CHECK_FALSE(file.sealed());
  CHECK(contents(path) == "of another");
  CHECK(contents(file.part()) == "mine");
}

TEST_CASE("OutputFile: a part of its own name is in nobody's way, and nobody's is in its") {
  const TemporaryDirectory directory;
  const std::string path = directory / "page.html";
  write_text(path + ".part", "left");
  OutputFile first(path, Existing::replace, system_file_calls(), PartName::own);
  OutputFile second(path, Existing::replace, system_file_calls(), PartName::own);
  for (const OutputFile* file : {&first, &second}) {
    CHECK(file->part().starts_with(path + "."));
    CHECK(file->part().ends_with(".part"));
  }
  REQUIRE(first.part() != second.part());
  write_text(first.part(), "first");
  write_text(second.part(), "second");
  second.seal();
  CHECK(contents(path) == "second");
  first.seal();
  CHECK(contents(path) == "first");
  CHECK(contents(path + ".part") == "left");
}

TEST_CASE("OutputFile: an unfinished recording is never taken") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  write_text(path + ".part", "somebody's only copy");
  for (const Existing existing : {Existing::refuse, Existing::replace}) {
    const std::string message = message_of([&] { OutputFile(path, existing); });
    CHECK(contains(message, path + ".part"));
    CHECK(contains(message, "unfinished"));
  }
  CHECK(contents(path + ".part") == "somebody's only copy");
}

TEST_CASE("OutputFile: two can't share a path") {
  const TemporaryDirectory directory;
  const OutputFile first(directory / "run.csv", Existing::replace);
  CHECK_THROWS_AS(OutputFile(directory / "run.csv", Existing::replace), Error);
  CHECK(exists(first.part()));
}

TEST_CASE("OutputFile: a missing directory, and a path that is one") {
  const TemporaryDirectory directory;
  const std::string missing = directory / "none/run.csv";
  CHECK(contains(message_of([&] { OutputFile(missing, Existing::refuse); }), directory / "none"));
  CHECK(contains(message_of([&] { OutputFile(directory.path(), Existing::replace); }),
                 "is a directory"));
  write_text(directory / "file", "");
  CHECK_THROWS_AS(OutputFile(directory / "file/run.csv", Existing::refuse), Error);
}

TEST_CASE("OutputFile: a directory without write permission") {
  if (::geteuid() == 0) {
    WARN("root may write everywhere: not tested");
    return;
  }
  const TemporaryDirectory directory;
  ::chmod(directory.path().c_str(), 0555);
  const std::string message =
      message_of([&] { OutputFile(directory / "run.csv", Existing::refuse); });
  ::chmod(directory.path().c_str(), 0755);
  CHECK(contains(message, "run.csv"));
  CHECK(contains(message, "Permission denied"));
}

TEST_CASE("OutputFile: unsealed, an empty part goes and one with data stays") {
  const TemporaryDirectory directory;
  { const OutputFile file(directory / "empty.csv", Existing::refuse); }
  CHECK_FALSE(exists(directory / "empty.csv.part"));
  {
    const OutputFile file(directory / "data.csv", Existing::refuse);
    write_text(file.part(), "data");
  }
  CHECK(contents(directory / "data.csv.part") == "data");
}

TEST_CASE("OutputFile: a part that vanished can't be sealed") {
  const TemporaryDirectory directory;
  OutputFile file(directory / "run.csv", Existing::refuse);
  std::filesystem::remove(file.part());
  CHECK_THROWS_AS(file.seal(), Error);
  CHECK_FALSE(exists(file.path()));
}

TEST_CASE("require_free_space: enough, and never enough") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  CHECK_NOTHROW(require_free_space(path, 0));
  const std::string message = message_of([&] { require_free_space(path, std::uint64_t{1} << 60); });
  CHECK(contains(message, path));
  CHECK(contains(message, "full"));
}

}  // namespace spillway
