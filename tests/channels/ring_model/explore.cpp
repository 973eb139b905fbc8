#include "explore.hpp"

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <ostream>

#include "model_atomics.hpp"
#include "mutation.hpp"
// Last, because it makes macros of `new`, `assert` and the memory orders.
#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef memory_order_relaxed
#undef memory_order_acquire
#undef memory_order_release

namespace spillway {

// Relacy replaces new and delete by functions that are inline, so the compiler would keep
// the ones it happens to need. All of them belong together.
extern void* (*const all_new[])(std::size_t) = {&::operator new, &::operator new[] };
extern void (*const all_delete[])(void*) noexcept = {&::operator delete, &::operator delete[] };

namespace {

using model::Change;
using model::Operation;
using model::Site;
using Word = rl::atomic<std::uint64_t>;

// The words of one execution. Their destructors are due at its end, or never if it
// failed, because Relacy then leaves everything as it is.
class Words {
 public:
  std::uint64_t add(std::uint64_t value) noexcept {
    if (count_ == capacity) std::abort();
    new (&(*this)[count_]) Word(value);
    return count_++;
  }
  Word& operator[](std::uint64_t index) noexcept {
    return reinterpret_cast<Word*>(storage_.data())[index];
  }
  void destroy() noexcept {
    while (count_ > 0) (*this)[--count_].~Word();
  }
  void forget() noexcept { count_ = 0; }

 private:
  static constexpr std::size_t capacity = 1024;
  alignas(Word) std::array<std::byte, capacity * sizeof(Word)> storage_;
  std::uint64_t count_ = 0;
};

Words words;
const std::function<std::unique_ptr<model::Execution>()>* maker = nullptr;
const char* failure = nullptr;
Word* handed = nullptr;

rl::memory_order order_of(std::memory_order order, Change change) noexcept {
  if (change == Change::relax) return rl::mo_relaxed;
  switch (order) {
    case std::memory_order_relaxed: return rl::mo_relaxed;
    case std::memory_order_acquire: return rl::mo_acquire;
    case std::memory_order_release: return rl::mo_release;
    default: std::abort();  // the ring has no other
  }
}

struct Suite : rl::test_suite<Suite, model::thread_count> {
  ~Suite() {
    execution.reset();
    words.destroy();
  }
  void before() {
    handed_over.store(0, rl::mo_relaxed, rl::debug_info());
    handed = &handed_over;
    execution = (*maker)();
  }
  void thread(unsigned index) { execution->run(index); }
  void after() { execution->finish(); }

  Word handed_over;
  std::unique_ptr<model::Execution> execution;
};

}  // namespace

AtomicWord::AtomicWord(std::uint64_t value) noexcept : index_(words.add(value)) {}

std::uint64_t AtomicWord::load(std::memory_order order, const char* file,
                               unsigned line) const noexcept {
  const Change change = model::change_at({file, line, Operation::load, order});
  const std::uint64_t value =
      words[index_].load(order_of(order, change), rl::debug_info("load", file, line));
  return change == Change::drop ? 0 : value;
}

void AtomicWord::store(std::uint64_t value, std::memory_order order, const char* file,
                       unsigned line) noexcept {
  const Site site{file, line, Operation::store, order};
  const Change change = model::change_at(site);
  Word& word = words[index_];
  if (value == 0 && word.debug_value() != 0) model::note_zero(site);
  if (change == Change::drop || (change == Change::drop_zero && value == 0)) return;
  if (change == Change::one_less) --value;
  word.store(value, order_of(order, change), rl::debug_info("store", file, line));
}

void atomic_fence(std::memory_order order, const char* file, unsigned line) noexcept {
  const Change change = model::change_at({file, line, Operation::fence, order});
  if (change == Change::none)
    rl::atomic_thread_fence(order_of(order, change), rl::debug_info("fence", file, line));
}

namespace model {

std::optional<Failure> explore(const std::function<std::unique_ptr<Execution>()>& make,
                               Executions executions, std::ostream* history) {
  words.forget();
  maker = &make;
  failure = nullptr;
  std::ostream nowhere(nullptr);
  rl::test_params params;
  params.search_type = rl::sched_random;
  params.initial_state = std::to_string(executions.first).c_str();
  params.iteration_count = executions.last;
  params.execution_depth_limit = 20'000;
  params.output_stream = history ? history : &nowhere;
  params.progress_stream = &nowhere;
  using Scheduler = rl::random_scheduler<thread_count>;
  rl::ostringstream state;
  if (rl::run_test<Suite, Scheduler>(params, state, false) == rl::test_result_success)
    return std::nullopt;
  const Failure found{params.stop_iteration,
                      failure ? failure : rl::test_result_str(params.test_result)};
  if (history) {
    // The same execution once more, recorded.
    words.forget();
    params.initial_state = state.str();
    params.collect_history = true;
    rl::run_test<Suite, Scheduler>(params, state, true);
  }
  return found;
}

void fail(const char* what) noexcept {
  failure = what;
  rl::ctx().fail_test(what, rl::test_result_user_assert_failed, rl::debug_info("fail"));
  std::abort();  // Relacy does not come back
}

unsigned choose(unsigned limit) noexcept { return rl::rand(limit); }

void hand_over() noexcept { handed->store(1, rl::mo_release, rl::debug_info("hand_over")); }

void take_over() noexcept {
  const rl::debug_info info("take_over");
  while (handed->load(rl::mo_acquire, info) == 0) rl::ctx().yield(1, info);
}

}  // namespace model

}  // namespace spillway
