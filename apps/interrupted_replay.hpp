// What an interrupted replay leaves beside its output, so that it can go on.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace spillway::apps {

// Beside "out.h5" stand, while it is made, "out.h5.part" and "out.h5.journal", as of any recording,
// and, from the first checkpoint on, "out.h5.resume", which has the last checkpoint and says by the
// journal's id which part it is of. A replay that goes on moves the first two to
// "out.h5.before.part" and "out.h5.before.journal", copies what counts, and removes them behind its
// own first checkpoint. It may be interrupted at any moment. Nothing is touched that another
// program, or a replay that is not named there, has left.
//
// All may throw Error that names the file.
class InterruptedReplay {
 public:
  explicit InterruptedReplay(std::string output);

  // Whether there is one.
  [[nodiscard]] bool exists() const;

  struct State {
    std::string part;  // what it had written, a recording that is not finished
    std::string checkpoint;
  };
  // Looks at it, where it is, if it was of the same `input`. Throws Error if there is none, or only
  // what one left that came to its end (which is removed), or if a replay is just writing it.
  [[nodiscard]] State take(const std::string& input);
  // Moves what was taken out of the way of the one that goes on; returns where its part is then.
  [[nodiscard]] std::string make_way();
  // What was taken can't be gone on with, and stays for another try: as it was, unless it had made
  // way.
  void give_back();

  // Another checkpoint, of what is being written; what was taken isn't needed any more.
  void keep(const std::string& input, const std::string& checkpoint);

  // Nothing is left of it but the output, if that is whole. Throws Error if a replay is just
  // writing it.
  void forget();

 private:
  struct Kept {
    std::string part_id;   // of the journal of the part that the checkpoint is of
    std::string input;     // what must be the same
    bool moved = false;    // that part is in "before"
    bool goes_on = false;  // what stands under the name of the output is of one that goes on
    std::string checkpoint;
  };
  [[nodiscard]] std::optional<Kept> read() const;
  void write(const Kept& kept) const;
  [[nodiscard]] bool has_part(const Kept& kept) const;
  [[nodiscard]] bool is_being_moved(const Kept& kept) const;
  void remove_output_part(const Kept& kept) const;
  void refuse_if_in_use() const;
  void lock();

  std::string output_;
  std::string before_;  // output_ + ".before"
  std::string resume_;
  std::optional<Kept> taken_;
  bool made_way_ = false;
  std::shared_ptr<std::FILE> lock_;  // of the part that is taken, whatever its name
};

}  // namespace spillway::apps
