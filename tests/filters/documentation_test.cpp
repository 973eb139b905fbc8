// docs/filters.md keeps up with the kinds of nodes and their parameters.
#include <array>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fields.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

// Takes what fields() shows, and keeps the names.
class Names {
 public:
  [[nodiscard]] const std::set<std::string>& all() const { return all_; }
  // Of the variant that was shown last, how many alternatives there are; 0: none was.
  [[nodiscard]] std::size_t alternatives() const { return alternatives_; }
  // Which of them is shown.
  void choose(std::size_t alternative) { chosen_ = alternative; }

  template <class T>
  void integer(const char* name, T&, Whole = {}, Need = Need::optional) {
    all_.insert(name);
  }
  void number(const char* name, double&, Need = Need::optional) { all_.insert(name); }
  void frequency(const char* name, Hertz&, Need = Need::optional) { all_.insert(name); }
  void duration(const char* name, std::chrono::nanoseconds&, Need = Need::optional) {
    all_.insert(name);
  }
  void rate(const char* name, Rate&, Need = Need::optional) { all_.insert(name); }
  void optional_rate(const char* name, std::optional<Rate>&) { all_.insert(name); }
  void text(const char* name, std::string&, Need = Need::optional) { all_.insert(name); }
  template <class T>
  void texts(const char* name, T&, Need = Need::optional) {
    all_.insert(name);
  }
  template <class T>
  void numbers(const char* name, T&, Need = Need::optional) {
    all_.insert(name);
  }
  template <class T>
  void matrix(const char* name, T&, Need = Need::optional) {
    all_.insert(name);
  }
  void sections(const char* name, Sos&, Need = Need::optional) { all_.insert(name); }
  void calibration(const char* name, std::optional<Calibration>&) { all_.insert(name); }
  template <class E>
  void word(const char* name, E&, Need = Need::optional) {
    all_.insert(name);
    for (const std::string_view w : words<E>) words_.emplace(w);
  }
  template <class E, std::size_t N>
  void word(const char* name, E&, const std::array<E, N>& allowed) {
    all_.insert(name);
    for (const E e : allowed) words_.emplace(words<E>[static_cast<std::size_t>(e)]);
  }
  template <class V>
  void alternative(const char* name, V& shown) {
    all_.insert(name);
    for (const std::string_view w : words<V>) words_.emplace(w);
    alternatives_ = std::variant_size_v<V>;
    show(shown, std::make_index_sequence<std::variant_size_v<V>>());
  }
  void function(const char* name, Function&, Need) { all_.insert(name); }

  // The words that parameters may have.
  [[nodiscard]] const std::set<std::string>& values() const { return words_; }

 private:
  template <class V, std::size_t... I>
  void show(V& shown, std::index_sequence<I...>) {
    (void)((I == chosen_ && (shown.template emplace<I>(), true)) || ...);
  }

  std::set<std::string> all_;
  std::set<std::string> words_;
  std::size_t alternatives_ = 0;
  std::size_t chosen_ = 0;
};

// A kind with all alternatives of its parameters.
template <class Kind>
Names names_of() {
  Names names;
  std::size_t alternative = 0;
  do {
    names.choose(alternative);
    Kind parameters{};
    fields(names, parameters);
  } while (++alternative < names.alternatives());
  return names;
}

template <std::size_t... I>
std::vector<Names> names_of_all(std::index_sequence<I...>) {
  return {names_of<std::variant_alternative_t<I, NodeKind>>()...};
}

// As the kinds are ordered.
std::vector<Names> names_of_all() {
  return names_of_all(std::make_index_sequence<std::variant_size_v<NodeKind>>());
}

// What stands under each heading, up to the next one of the same or a higher level; by the
// heading's text.
std::map<std::string, std::string> sections_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.is_open());
  std::map<std::string, std::string> sections;
  std::vector<std::pair<std::size_t, std::string>> open;  // level and heading
  bool in_code = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("```")) in_code = !in_code;
    const std::size_t level = in_code ? std::size_t{0} : line.find_first_not_of('#');
    if (level != std::string::npos && level > 0 && line[level] == ' ') {
      while (!open.empty() && open.back().first >= level) open.pop_back();
      open.emplace_back(level, line.substr(level + 1));
      sections[open.back().second];
      continue;
    }
    for (const auto& [of, heading] : open) sections[heading] += line + '\n';
  }
  return sections;
}

std::string quoted(std::string_view name) {
  std::string text = "`";
  return text.append(name).append("`");
}

const std::string page = SPILLWAY_SOURCE_DIR "/docs/filters.md";

TEST_CASE("docs/filters.md has a section for every kind of node, with every parameter") {
  const std::map<std::string, std::string> sections = sections_of(page);
  const std::vector<Names> names = names_of_all();
  REQUIRE(names.size() == kind_names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    INFO("type " << kind_names[i]);
    const auto section = sections.find(quoted(kind_names[i]));
    REQUIRE(section != sections.end());
    CHECK(section->second.find("type: " + std::string(kind_names[i]) + ",") != std::string::npos);
    CHECK_FALSE(names[i].all().empty());
    for (const std::string& name : names[i].all()) {
      INFO("parameter " << name);
      CHECK(section->second.find(quoted(name)) != std::string::npos);
    }
  }
}

TEST_CASE("docs/filters.md has every word that a parameter may have") {
  std::string text;
  for (const auto& [heading, section] : sections_of(page)) text += section;
  for (const Names& names : names_of_all())
    for (const std::string& word : names.values()) {
      INFO("word " << word);
      CHECK(text.find(quoted(word)) != std::string::npos);
    }
}

TEST_CASE("Parameters of every family are among those of a recursive filter") {
  const std::set<std::string> lowpass = names_of<LowPass>().all();
  for (const char* name :
       {"family", "order", "ripple_db", "attenuation_db", "norm", "cutoff", "settling_level"})
    CHECK(lowpass.contains(name));
  CHECK_FALSE(names_of<Notch>().all().contains("order"));
}

}  // namespace
}  // namespace spillway
