// The engine links, and what it links against is found.
#include <spillway/engine/engine.hpp>

#include <cstdio>

int main() {
  spillway::Engine engine;
  std::puts("an engine");
}
