# Writes the files of the page into a C++ source, as they are.
#   cmake -D SOURCES=<page.html;page.css;page.js> -D OUTPUT=<file> -P embed.cmake
set(text "#include \"view_page.hpp\"\n\nnamespace spillway::apps {\n\n")
foreach(source IN LISTS SOURCES)
  get_filename_component(name "${source}" NAME_WE)
  get_filename_component(kind "${source}" LAST_EXT)
  string(SUBSTRING "${kind}" 1 -1 kind)
  file(READ "${source}" content)
  string(APPEND text
    "const std::string_view ${name}_${kind} = R\"spillway(${content})spillway\";\n\n")
endforeach()
string(APPEND text "}  // namespace spillway::apps\n")
file(WRITE "${OUTPUT}" "${text}")
