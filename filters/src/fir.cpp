#include "spillway/filters/fir.hpp"

#include <utility>

#include "fir_core.hpp"

namespace spillway {

FirFilter::FirFilter(const Fir& parameters, std::size_t lanes)
    : parameters_(parameters),
      core_(std::make_unique<FirCore>(parameters.taps, lanes, longest_direct_fir, parameters.gap,
                                      FirWarmUp::zero)) {}
FirFilter::FirFilter(const FirFilter& other)
    : parameters_(other.parameters_), core_(std::make_unique<FirCore>(*other.core_)) {}
FirFilter::FirFilter(FirFilter&&) noexcept = default;
FirFilter& FirFilter::operator=(const FirFilter& other) { return *this = FirFilter(other); }
FirFilter& FirFilter::operator=(FirFilter&&) noexcept = default;
FirFilter::~FirFilter() = default;

std::size_t FirFilter::process(ConstFrames in, Frames out) noexcept {
  return core_->process(in, out);
}
void FirFilter::reset() noexcept { core_->reset(); }
void FirFilter::gap() noexcept { core_->gap(); }
void FirFilter::take_over(FirFilter& before) noexcept { core_->take_over(*before.core_); }
double FirFilter::delay() const noexcept { return core_->delay(); }
void FirFilter::save_state(StateWriter& writer) const { core_->save_state(writer); }
void FirFilter::load_state(StateReader& reader) { core_->load_state(reader); }
std::size_t FirFilter::block() const noexcept { return core_->block(); }
std::size_t FirFilter::lanes() const noexcept { return core_->lanes(); }

}  // namespace spillway
