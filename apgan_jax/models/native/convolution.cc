// Direct convolutions for XLA's CPU backend, as foreign functions.
//
// Images are NHWC, kernels HWIO, all float32 and row-major. One routine serves the convolution and
// its gradient with respect to the input: each output pixel is a sum over taps,
//
//   out[i, j] = sum over (u, v) of in[(i * stride + u - top) / dilation, …] @ kernel[u, v],
//
// where only the taps count whose division leaves no remainder. The convolution has dilation 1; the
// gradient has stride 1, the forward pass's stride as its dilation, and the flipped kernel with its
// channels swapped. The other routine is the gradient with respect to the kernel, a sum of outer
// products over all pixels.
//
// Where `rounded` is set, both round the two factors of each product to bfloat16 (to the nearest,
// ties to even) and sum in float32, with an instruction for pairs of such products: of two input
// channels each, or of two pixels for the kernel's gradient. Processors without it refuse.
//
// Both keep a tile of results in registers. Work is cut in parts that depend on the shapes alone,
// and each result is summed by one thread in a fixed order: the same input gives the same bits,
// whatever the number of threads.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kTile = 12;  // Rows of the register tile: 12 x 2 sums, 2 weights and a spare fit 32.
#elif defined(__AVX__)
constexpr int kLanes = 8;
constexpr int kTile = 6;  // 6 x 2 sums fit 16 registers.
#else
constexpr int kLanes = 4;
constexpr int kTile = 6;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

constexpr int64_t kScratchUnits = 16 * 1024;   // Padded input of a part: 64 KB stays in L2.
constexpr int64_t kGradientUnits = 64 * 1024;  // Input and gradient of a part likewise: 256 KB.
constexpr int64_t kPartialFloats = 1 << 20;    // Partial sums of a kernel's gradient, all parts.
constexpr int64_t kMaxPartials = 8;

// Memory of whole cache lines: a vector that lies in two takes two loads.
template <typename T>
struct InLines {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  T* allocate(size_t count) { return static_cast<T*>(operator new(count * sizeof(T), kLine)); }
  void deallocate(T* start, size_t) { operator delete(start, kLine); }
  bool operator==(const InLines&) const { return true; }
  bool operator!=(const InLines&) const { return false; }
};
using Floats = std::vector<float, InLines<float>>;

// Runs task(0) … task(count - 1) on the pool and the calling thread, and waits for all of them. The
// caller takes tasks too, so it also ends when every thread of the pool is waiting likewise.
void ParallelFor(ffi::ThreadPool& pool, int64_t count, std::function<void(int64_t)> task) {
  struct Shared {
    std::function<void(int64_t)> task;
    int64_t count;
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
    std::mutex mutex;
    std::condition_variable finished;

    void Work() {
      for (int64_t i; (i = next.fetch_add(1)) < count;) {
        task(i);
        if (done.fetch_add(1) + 1 == count) {
          std::lock_guard<std::mutex> lock(mutex);
          finished.notify_all();
        }
      }
    }
  };
  auto shared = std::make_shared<Shared>();
  shared->task = std::move(task);
  shared->count = count;
  const int64_t helpers = std::min(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([shared] { shared->Work(); });
  shared->Work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->done.load() == count; });
}

struct Image {
  int64_t number, height, width, channels;
  explicit Image(const Array& array)
      : number(array.dimensions()[0]),
        height(array.dimensions()[1]),
        width(array.dimensions()[2]),
        channels(array.dimensions()[3]) {}
};

// An image's pixels, or a part's pairs of pixels, from a row and a column on.
struct Grid {
  const float* start;
  int64_t height, width, channels;
  int64_t first_row = 0, first_column = 0;

  Grid(const float* start, const Image& image)
      : start(start), height(image.height), width(image.width), channels(image.channels) {}

  const float* At(int64_t row, int64_t column) const {
    return start + ((row - first_row) * width + column - first_column) * channels;
  }
};

// What is multiplied comes in units of 32 bits, in arrays of float: here one value a unit.
struct Singles {
  static constexpr int64_t kValues = 1;

  static Vector MultiplyAdd(Vector sum, float unit, Vector units) { return sum + unit * units; }

  static float* Pack(const float* in, int64_t pixels, int64_t channels, float* out) {
    return std::copy_n(in, pixels * channels, out);
  }

  static const float* PackKernel(ffi::ThreadPool&, const Array& kernel, Floats&) {
    return kernel.typed_data();
  }
};

#if defined(__AVX512BF16__)
// Two values a unit, rounded to bfloat16.
struct Pairs {
  static constexpr int64_t kValues = 2;

  static Vector MultiplyAdd(Vector sum, float unit, Vector units) {
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(unit), (__m512bh)units);
  }

  // Rounds pixels, their channels in pairs with a zero where one is missing; returns the end.
  static float* Pack(const float* in, int64_t pixels, int64_t channels, float* out) {
    if (channels % kValues == 0) {
      channels *= pixels;
      pixels = 1;
    }
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t count = std::min<int64_t>(channels - c, kLanes);
        const __m512 values = _mm512_maskz_loadu_ps(First(count), in + c);
        _mm256_mask_storeu_epi32(out + c / kValues, First((count + 1) / kValues),
                                 (__m256i)_mm512_cvtneps_pbh(values));
      }
      in += channels;
      out += (channels + 1) / kValues;
    }
    return out;
  }

  // A kernel with its input channels in pairs.
  static const float* PackKernel(ffi::ThreadPool& pool, const Array& kernel, Floats& packed) {
    const auto shape = kernel.dimensions();
    const int64_t inputs = shape[2], outputs = shape[3], units = (inputs + 1) / kValues;
    packed.resize(shape[0] * shape[1] * units * outputs);
    ParallelFor(pool, shape[0] * shape[1], [&](int64_t tap) {
      for (int64_t c = 0; c < inputs; c += kValues) {
        const float* row = kernel.typed_data() + (tap * inputs + c) * outputs;
        Interleave(row, c + 1 < inputs ? row + outputs : nullptr, outputs,
                   &packed[(tap * units + c / kValues) * outputs]);
      }
    });
    return packed.data();
  }

  // out[k] = the pair of first[k] and second[k], of which either may be missing: zeros.
  static void Interleave(const float* first, const float* second, int64_t count, float* out) {
    alignas(64) static constexpr uint16_t kOrder[] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i order = _mm512_load_si512(kOrder);
    for (int64_t k = 0; k < count; k += kLanes) {
      const __mmask16 lanes = First(std::min<int64_t>(count - k, kLanes));
      const __m512 low = _mm512_maskz_loadu_ps(first ? lanes : 0, first + k);
      const __m512 high = _mm512_maskz_loadu_ps(second ? lanes : 0, second + k);
      const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      _mm512_mask_storeu_epi32(out + k, lanes, _mm512_permutexvar_epi16(order, both));
    }
  }

  // In each row from `begin` to before `end` that the image has, `number` pairs: of the pixels in
  // column first_column + k * every and `apart` columns further, zeros where the image has none.
  static Grid PairPixels(const Grid& image, int64_t begin, int64_t end, int64_t first_column,
                         int64_t number, int64_t every, int64_t apart, Floats& packed) {
    packed.resize((end - begin) * number * image.channels);
    Grid pairs = image;
    pairs.start = packed.data();
    pairs.width = number;
    pairs.first_row = begin;
    pairs.first_column = first_column;
    for (int64_t row = std::max<int64_t>(begin, 0); row < std::min(end, image.height); ++row) {
      auto pixel = [&](int64_t column) {
        return column >= 0 && column < image.width ? image.At(row, column) : nullptr;
      };
      for (int64_t k = 0, run; k < number; k += run) {
        const int64_t column = first_column + k * every;
        const float *first = pixel(column), *second = pixel(column + apart);
        // Neighbours that have both, or lack the same, are one run.
        run = 1;
        while (every == 1 && k + run < number && !pixel(column + run) == !first &&
               !pixel(column + run + apart) == !second) {
          ++run;
        }
        Interleave(first, second, run * image.channels,
                   packed.data() + ((row - begin) * number + k) * image.channels);
      }
    }
    return pairs;
  }

 private:
  static __mmask16 First(int64_t count) { return (1u << count) - 1; }
};
#endif

struct Tap {
  const float* in;
  const float* weights;
};

// out[p] = bias + sum over taps of in[p] @ weights for P pixels and N vectors of channels; the first
// pixel's input is `offset` units after the tap's.
template <typename Product, int P, int N>
void SumTaps(const std::vector<Tap>& taps, int64_t offset, int64_t in_units, int64_t in_step,
             int64_t weight_step, const float* bias, float* out, int64_t out_step) {
  Vector sum[P][N];
  for (int n = 0; n < N; ++n) {
    const Vector start = bias ? *reinterpret_cast<const Vector*>(bias + n * kLanes) : Vector{};
    for (int p = 0; p < P; ++p) sum[p][n] = start;
  }
  for (const Tap& tap : taps) {
    const float* weights = tap.weights;
    // A pointer for every third pixel: more would not fit the integer registers.
    const float* in[(P + 2) / 3];
    for (int b = 0; b < (P + 2) / 3; ++b) in[b] = tap.in + offset + 3 * b * in_step;
    for (int64_t c = 0; c < in_units; ++c) {
      Vector weight[N];
      for (int n = 0; n < N; ++n) {
        weight[n] = *reinterpret_cast<const Vector*>(weights + n * kLanes);
      }
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const float unit = in[p / 3][(p % 3) * in_step];
        for (int n = 0; n < N; ++n) sum[p][n] = Product::MultiplyAdd(sum[p][n], unit, weight[n]);
      }
      weights += weight_step;
      for (int b = 0; b < (P + 2) / 3; ++b) ++in[b];
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int n = 0; n < N; ++n) {
      *reinterpret_cast<Vector*>(out + p * out_step + n * kLanes) = sum[p][n];
    }
  }
}

// sums[p] += sum over pixels of x[p] * g for P input channels and N vectors of output channels.
template <typename Product, int P, int N>
void SumOuterProducts(const float* x, int64_t x_row, int64_t x_column, const float* g,
                      int64_t g_row, int64_t g_column, int64_t rows, int64_t columns, float* sums,
                      int64_t sums_step) {
  Vector sum[P][N];
  for (int p = 0; p < P; ++p) {
    for (int n = 0; n < N; ++n) {
      sum[p][n] = *reinterpret_cast<const Vector*>(sums + p * sums_step + n * kLanes);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    const float* value = x + i * x_row;
    const float* gradient = g + i * g_row;
    for (int64_t j = 0; j < columns; ++j) {
      Vector right[N];
      for (int n = 0; n < N; ++n) {
        right[n] = *reinterpret_cast<const Vector*>(gradient + n * kLanes);
      }
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        for (int n = 0; n < N; ++n) {
          sum[p][n] = Product::MultiplyAdd(sum[p][n], value[p], right[n]);
        }
      }
      value += x_column;
      gradient += g_column;
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int n = 0; n < N; ++n) {
      *reinterpret_cast<Vector*>(sums + p * sums_step + n * kLanes) = sum[p][n];
    }
  }
}

// Calls function(std::integral_constant<int, size>) for a size in 1 … kTile.
template <int P = kTile, typename Function>
void WithTile(int size, Function&& function) {
  if constexpr (P > 0) {
    if (size == P) return function(std::integral_constant<int, P>{});
    WithTile<P - 1>(size, function);
  }
}

// Calls function(begin, tile size) for the pieces of [0, count) of nearly equal size, <= kTile.
template <typename Function>
void ForTiles(int64_t count, Function&& function) {
  const int64_t tiles = (count + kTile - 1) / kTile;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = t * count / tiles;
    const int64_t end = (t + 1) * count / tiles;
    WithTile(static_cast<int>(end - begin), [&](auto size) { function(begin, size); });
  }
}

// Calls function(first channel, number of vectors) for blocks of two vectors, and a last one.
template <typename Function>
void ForChannels(int64_t channels, Function&& function) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {
    function(c, std::integral_constant<int, 2>{});
  }
  for (; c < channels; c += kLanes) function(c, std::integral_constant<int, 1>{});
}

// a / b rounded down, b > 0.
int64_t FloorDivide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

template <typename Product>
ffi::Error Convolve(ffi::ThreadPool& pool, Array in_array, Array kernel, Array bias, Result result,
                    int64_t stride, int64_t dilation, int64_t top, int64_t left) {
  const Image in(in_array), out(*result);
  const int64_t kernel_height = kernel.dimensions()[0], kernel_width = kernel.dimensions()[1];
  if (out.channels % kLanes) return ffi::Error::InvalidArgument("channels must fill vectors");
  const float* start = bias.element_count() ? bias.typed_data() : nullptr;
  const int64_t in_units = (in.channels + Product::kValues - 1) / Product::kValues;
  Floats packed_kernel;
  const float* weights = Product::PackKernel(pool, kernel, packed_kernel);

  // Columns of the input that a row of the output reads, from first_column on.
  const int64_t first_column = FloorDivide(-left, dilation);
  const int64_t last_column =
      FloorDivide((out.width - 1) * stride + kernel_width - 1 - left, dilation);
  const int64_t columns = last_column - first_column + 1;
  const int64_t row_units = columns * in_units;
  // Input rows that a part of the output's rows reads.
  auto first_row = [&](int64_t i) { return FloorDivide(i * stride - top, dilation); };
  auto last_row = [&](int64_t i) {
    return FloorDivide(i * stride + kernel_height - 1 - top, dilation);
  };
  const int64_t rows_at_once = std::max<int64_t>(1, kScratchUnits / row_units - kernel_height) *
                               dilation / stride;
  const int64_t part_rows = std::clamp<int64_t>(rows_at_once, 1, out.height);
  const int64_t parts = (out.height + part_rows - 1) / part_rows;

  auto run = [&](int64_t part) {
    const int64_t image = part / parts;
    const int64_t begin = part % parts * part_rows;
    const int64_t end = std::min(begin + part_rows, out.height);
    const int64_t top_row = first_row(begin);
    const int64_t rows = last_row(end - 1) - top_row + 1;
    const float* source = in_array.typed_data() + image * in.height * in.width * in.channels;
    // Rows top_row, top_row + 1, … with every column that is read: the input itself where it has
    // them all as they are wanted, else a copy among zeros.
    const float* padded = source + top_row * in.width * in.channels;
    if (Product::kValues > 1 || columns != in.width || first_column || top_row < 0 ||
        top_row + rows > in.height) {
      thread_local Floats scratch;
      scratch.resize(rows * row_units);
      const int64_t from = std::max<int64_t>(first_column, 0);
      const int64_t to = std::max(from, std::min(last_column + 1, in.width));
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t row = top_row + r;
        float* copy = scratch.data() + r * row_units;
        float* end = copy + row_units;
        if (row >= 0 && row < in.height) {
          float* body = std::fill_n(copy, (from - first_column) * in_units, 0.0f);
          copy = Product::Pack(source + (row * in.width + from) * in.channels, to - from,
                               in.channels, body);
        }
        std::fill(copy, end, 0.0f);
      }
      padded = scratch.data();
    }
    float* target = result->typed_data() + image * out.height * out.width * out.channels;
    std::vector<Tap> taps;
    ForChannels(out.channels, [&](int64_t channel, auto vectors) {
      for (int64_t i = begin; i < end; ++i) {
        // Pixels that are `dilation` apart have the same taps.
        for (int64_t phase = 0; phase < std::min(dilation, out.width); ++phase) {
          taps.clear();
          for (int64_t u = 0; u < kernel_height; ++u) {
            const int64_t y = i * stride + u - top;
            if (y % dilation || y < 0 || y / dilation >= in.height) continue;
            const float* row = padded + (y / dilation - top_row) * row_units;
            for (int64_t v = 0; v < kernel_width; ++v) {
              const int64_t x = phase * stride + v - left;
              if (x % dilation) continue;
              taps.push_back({row + (x / dilation - first_column) * in_units,
                              weights + channel +
                                  (u * kernel_width + v) * in_units * out.channels});
            }
          }
          const int64_t pixels = (out.width - phase + dilation - 1) / dilation;
          const int64_t in_step = stride * in_units, out_step = dilation * out.channels;
          float* row = target + (i * out.width + phase) * out.channels + channel;
          ForTiles(pixels, [&](int64_t first, auto tile) {
            SumTaps<Product, tile(), vectors()>(
                taps, first * in_step, in_units, in_step, out.channels,
                start ? start + channel : nullptr, row + first * out_step, out_step);
          });
        }
      }
    });
  };
  ParallelFor(pool, in.number * parts, run);
  return ffi::Error::Success();
}

template <typename Product>
ffi::Error KernelGradient(ffi::ThreadPool& pool, Array in_array, Array gradient, Result result,
                          int64_t stride, int64_t top, int64_t left) {
  const Image in(in_array), out(gradient);
  const auto shape = result->dimensions();
  const int64_t kernel_height = shape[0], kernel_width = shape[1];
  if (out.channels % kLanes) return ffi::Error::InvalidArgument("channels must fill vectors");
  const int64_t size = result->element_count();
  const int64_t taps = kernel_height * kernel_width;
  int64_t partials = kMaxPartials;
  while (partials > 1 && (partials > in.number || partials * size > kPartialFloats)) partials /= 2;
  // A large kernel leaves room for few partial sums: then the taps are shared out as well.
  const int64_t groups = partials < kMaxPartials ? taps : 1;
  Floats sums(partials * size, 0.0f);
  // Rows whose inputs and gradients stay in L2 for all taps.
  const int64_t row_units = in.width * in.channels * stride + out.width * out.channels;
  const int64_t part_rows = std::clamp<int64_t>(kGradientUnits / row_units, 1, out.height);

  // Adds rows [begin, end) of an image's gradient to some taps' sums.
  auto add_rows = [&](int64_t first_tap, int64_t end_tap, int64_t image, int64_t begin, int64_t end,
                      float* sum) {
    Grid x{in_array.typed_data() + image * in.height * in.width * in.channels, in};
    Grid g{gradient.typed_data() + image * out.height * out.width * out.channels, out};
    if constexpr (Product::kValues > 1) {
      thread_local Floats x_pairs, g_pairs;
      const int64_t pairs = (out.width + 1) / 2;
      x = Product::PairPixels(x, begin * stride + first_tap / kernel_width - top,
                              (end - 1) * stride + (end_tap - 1) / kernel_width - top + 1, -left,
                              2 * (pairs - 1) * stride + kernel_width, 1, stride, x_pairs);
      g = Product::PairPixels(g, begin, end, 0, pairs, 2, 1, g_pairs);
    }
    // Where there are zeros beside the image, taps of a kernel's row are more input channels.
    const int64_t together = Product::kValues > 1 && groups == 1 ? kernel_width : 1;
    const int64_t channels = together * in.channels;
    for (int64_t tap = first_tap; tap < end_tap; tap += together) {
      const int64_t u = tap / kernel_width, v = tap % kernel_width;
      // Output rows whose input row i * stride + u - top exists; columns likewise, where there are
      // no zeros beside them.
      const int64_t from = std::max(begin, FloorDivide(top - u + stride - 1, stride));
      const int64_t to = std::min(end, FloorDivide(in.height - 1 + top - u, stride) + 1);
      int64_t left_end = 0, right_end = g.width;
      if (Product::kValues == 1) {
        left_end = std::max<int64_t>(0, FloorDivide(left - v + stride - 1, stride));
        right_end = std::min(out.width, FloorDivide(in.width - 1 + left - v, stride) + 1);
      }
      if (from >= to || left_end >= right_end) continue;
      const float* first_x = x.At(from * stride + u - top, left_end * stride + v - left);
      const float* first_g = g.At(from, left_end);
      ForChannels(out.channels, [&](int64_t channel, auto vectors) {
        ForTiles(channels, [&](int64_t first, auto tile) {
          SumOuterProducts<Product, tile(), vectors()>(
              first_x + first, stride * x.width * in.channels,
              Product::kValues * stride * in.channels, first_g + channel, g.width * out.channels,
              out.channels, to - from, right_end - left_end,
              sum + (tap * in.channels + first) * out.channels + channel, out.channels);
        });
      });
    }
  };
  ParallelFor(pool, partials * groups, [&](int64_t task) {
    const int64_t part = task / groups, group = task % groups;
    for (int64_t image = part * in.number / partials; image < (part + 1) * in.number / partials;
         ++image) {
      for (int64_t begin = 0; begin < out.height; begin += part_rows) {
        const int64_t end = std::min(begin + part_rows, out.height);
        add_rows(group * taps / groups, (group + 1) * taps / groups, image, begin, end,
                 &sums[part * size]);
      }
    }
  });
  float* total = result->typed_data();
  std::memcpy(total, sums.data(), size * sizeof(float));
  for (int64_t part = 1; part < partials; ++part) {
    for (int64_t k = 0; k < size; ++k) total[k] += sums[part * size + k];
  }
  return ffi::Error::Success();
}

// Calls function with what multiplies as it is asked for.
template <typename Function>
ffi::Error WithProduct(bool rounded, Function&& function) {
  if (!rounded) return function(Singles{});
#if defined(__AVX512BF16__)
  return function(Pairs{});
#else
  return ffi::Error::InvalidArgument("this processor has no products of bfloat16");
#endif
}

ffi::Error ConvolveAsAsked(ffi::ThreadPool pool, Array in, Array kernel, Array bias, Result result,
                           int64_t stride, int64_t dilation, int64_t top, int64_t left,
                           bool rounded) {
  return WithProduct(rounded, [&](auto product) {
    return Convolve<decltype(product)>(pool, in, kernel, bias, result, stride, dilation, top, left);
  });
}

ffi::Error KernelGradientAsAsked(ffi::ThreadPool pool, Array in, Array gradient, Result result,
                                 int64_t stride, int64_t top, int64_t left, bool rounded) {
  return WithProduct(rounded, [&](auto product) {
    return KernelGradient<decltype(product)>(pool, in, gradient, result, stride, top, left);
  });
}

}  // namespace

#if defined(__AVX512BF16__)
extern "C" const int apgan_multiplies_bfloat16 = 1;
#else
extern "C" const int apgan_multiplies_bfloat16 = 0;
#endif

XLA_FFI_DEFINE_HANDLER_SYMBOL(apgan_convolve, ConvolveAsAsked,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Attr<int64_t>("stride")
                                  .Attr<int64_t>("dilation")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left")
                                  .Attr<bool>("rounded"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(apgan_kernel_gradient, KernelGradientAsAsked,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Attr<int64_t>("stride")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left")
                                  .Attr<bool>("rounded"));
