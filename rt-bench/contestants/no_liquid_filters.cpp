#include "filter_contestant.hpp"

namespace spillway::bench {

FilterContestants<float> liquid_filters(const FilterWork<float>&) { return {}; }

}  // namespace spillway::bench
