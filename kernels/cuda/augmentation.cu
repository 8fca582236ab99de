// Geometry and light of photographs, (N, H, W, 3).
#include "common.cuh"

// Fold a coordinate back into 0 ... last, as a mirror at each border would.  fmaxf and fminf make
// something of NaN, too, so that no pixel outside the image is read.
__device__ __forceinline__ float reflected(float at, float last) {
  return fminf(fmaxf(last - fabsf(last - fabsf(at)), 0.0f), last);
}

// images (N, H, W, 3), matrices (N, 2, 3), gains, offsets (N,) -> out (N, H, W, 3); count: N*H*W.
// Output pixel (h, w), counted from the centre, shows the image at matrix @ (h, w, 1), bilinearly.
extern "C" __global__ void warp_affine(const unsigned char* __restrict__ images,
                                       const float* __restrict__ matrices,
                                       const float* __restrict__ gains,
                                       const float* __restrict__ offsets,
                                       float* __restrict__ out, Index count, Index height,
                                       Index width) {
  const float last_y = (float)(height - 1), last_x = (float)(width - 1);
  for (Index number = first_index(); number < count; number += index_step()) {
    int h, w;
    const Index n = divide(divide(number, (int)width, w), (int)height, h);
    const float* m = matrices + 6 * n;
    const float y = h - last_y / 2, x = w - last_x / 2;
    const float sy = reflected(m[0] * y + m[1] * x + m[2] + last_y / 2, last_y);
    const float sx = reflected(m[3] * y + m[4] * x + m[5] + last_x / 2, last_x);
    const int y0 = (int)sy, x0 = (int)sx;
    const int y1 = y0 + 1 < height ? y0 + 1 : y0, x1 = x0 + 1 < width ? x0 + 1 : x0;
    const float fy = sy - y0, fx = sx - x0, gain = gains[n] / 255.0f;
    const unsigned char* above = images + 3 * (n * height + y0) * width;
    const unsigned char* below = images + 3 * (n * height + y1) * width;
    for (int c = 0; c < 3; ++c) {
      const float a = above[3 * x0 + c], b = below[3 * x0 + c];
      const float top = a + fx * (above[3 * x1 + c] - a);
      const float bottom = b + fx * (below[3 * x1 + c] - b);
      out[3 * number + c] = (top + fy * (bottom - top)) * gain + offsets[n];
    }
  }
}

// Whether a place is in an image of this size; NaN is not.
__device__ __forceinline__ bool within(float y, float x, Index height, Index width) {
  return y >= 0 && y < height && x >= 0 && x < width;
}

// image (H, W, 3), places (2, count) of y and x, fill (3,) -> out (count, 3).
// Bilinear; the middle of the first pixel is (0.5, 0.5), and beyond the borders is fill.
extern "C" __global__ void remap(const unsigned char* __restrict__ image,
                                 const float* __restrict__ places,
                                 const unsigned char* __restrict__ fill,
                                 unsigned char* __restrict__ out, Index count, Index height,
                                 Index width) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const float y = places[number], x = places[count + number];
    if (!within(y, x, height, width)) {
      for (int c = 0; c < 3; ++c) out[3 * number + c] = fill[c];
      continue;
    }
    const float sy = fminf(fmaxf(y - 0.5f, 0.0f), (float)(height - 1));
    const float sx = fminf(fmaxf(x - 0.5f, 0.0f), (float)(width - 1));
    const int y0 = (int)sy, x0 = (int)sx;
    const int y1 = y0 + 1 < height ? y0 + 1 : y0, x1 = x0 + 1 < width ? x0 + 1 : x0;
    const float fy = sy - y0, fx = sx - x0;
    const unsigned char* above = image + 3 * width * y0;
    const unsigned char* below = image + 3 * width * y1;
    for (int c = 0; c < 3; ++c) {
      const float a = above[3 * x0 + c], b = below[3 * x0 + c];
      const float top = a + fx * (above[3 * x1 + c] - a);
      const float bottom = b + fx * (below[3 * x1 + c] - b);
      out[3 * number + c] = (unsigned char)(top + fy * (bottom - top) + 0.5f);
    }
  }
}

// mask (H, W), places (2, count) of y and x -> out (count,), the nearest pixels.
extern "C" __global__ void remap_nearest(const unsigned char* __restrict__ mask,
                                         const float* __restrict__ places,
                                         unsigned char* __restrict__ out, Index fill, Index count,
                                         Index height, Index width) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const float y = places[number], x = places[count + number];
    out[number] = within(y, x, height, width) ? mask[(int)y * width + (int)x] : (unsigned char)fill;
  }
}

// images (N, size) -> out: minus the mean of each, divided by its standard deviation + softening.
// A block takes an image.  Sums are double: the numbers may all lie far from 0.
extern "C" __global__ void standardize(const float* __restrict__ images, float* __restrict__ out,
                                       Index size, double softening) {
  const float* image = images + blockIdx.x * size;
  double sum = 0, squares = 0;
  for (Index i = threadIdx.x; i < size; i += blockDim.x) sum += image[i];
  const double mean = block_sum(sum) / size;
  for (Index i = threadIdx.x; i < size; i += blockDim.x) {
    const double difference = image[i] - mean;
    squares += difference * difference;
  }
  const double scale = 1 / (sqrt(block_sum(squares) / size) + softening);
  for (Index i = threadIdx.x; i < size; i += blockDim.x)
    out[blockIdx.x * size + i] = (float)((image[i] - mean) * scale);
}
