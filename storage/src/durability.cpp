#include "spillway/storage/durability.hpp"

#include <fmt/format.h>

#include "foreign.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

const char* to_string(Durability durability) noexcept {
  switch (durability) {
    case Durability::full: return "full";
    case Durability::process: return "process";
    case Durability::none: break;
  }
  return "none";
}

Durability durability_from(const std::string& name) {
  for (const Durability d : {Durability::full, Durability::process, Durability::none})
    if (name == to_string(d)) return d;
  throw Error(fmt::format("durability '{}': allowed are full, process, none", shown(name)));
}

}  // namespace spillway
