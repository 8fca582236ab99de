// What batch normalisation computes once for each channel.  A few hundred numbers are nothing for
// a GPU, and a launch for each operation on them would take longer than the work on the images:
// so all that is known at one point of a training step is one launch, a thread to a channel.
//
// Statistics and coefficients are double: there are few of them, and they decide over all others.
// Products that are added to something are rounded first, as on the CPU: both get the same bits.
#include "common.cuh"

// rstd = 1 / sqrt(var + epsilon), scale = gamma * rstd and shift = beta, all (I, C); gamma and
// beta (C), or null for 1 and 0.  A thread to a cell, which is channel i % C.
template <typename T, typename S>
__device__ __forceinline__ void coefficients(Index i, const S* __restrict__ var,
                                             const T* __restrict__ gamma,
                                             const T* __restrict__ beta,
                                             double* __restrict__ rstd,
                                             double* __restrict__ scale,
                                             double* __restrict__ shift, Index channels,
                                             double epsilon) {
  const Index c = i % channels;
  const double r = 1.0 / sqrt((double)var[i] + epsilon);
  rstd[i] = r;
  scale[i] = gamma ? (double)(Wide<T>)gamma[c] * r : r;
  shift[i] = beta ? (double)(Wide<T>)beta[c] : 0.0;
}

// For the statistics of a batch.
template <typename T>
__global__ void batch_coefficients(const double* __restrict__ var, const T* __restrict__ gamma,
                                   const T* __restrict__ beta, double* __restrict__ rstd,
                                   double* __restrict__ scale, double* __restrict__ shift,
                                   Index cells, Index channels, double epsilon) {
  for (Index i = first_index(); i < cells; i += index_step())
    coefficients(i, var, gamma, beta, rstd, scale, shift, channels, epsilon);
}

// For moving averages, which layers keep in single precision: widens the mean, too.
template <typename T>
__global__ void moving_coefficients(const float* __restrict__ mean, double* __restrict__ wide_mean,
                                    const float* __restrict__ var, const T* __restrict__ gamma,
                                    const T* __restrict__ beta, double* __restrict__ rstd,
                                    double* __restrict__ scale, double* __restrict__ shift,
                                    Index cells, Index channels, double epsilon) {
  for (Index i = first_index(); i < cells; i += index_step()) {
    wide_mean[i] = mean[i];
    coefficients(i, var, gamma, beta, rstd, scale, shift, channels, epsilon);
  }
}

// dL/dy = a * g + b * (y - mean) + c with a = scale; the derivation is in ops/block.py.
// total = sum g and product = sum g * (y - mean) over the `count` values of each channel.
template <typename T>
__global__ void slopes(const double* __restrict__ total, const double* __restrict__ product,
                       const double* __restrict__ scale, const double* __restrict__ rstd,
                       double* __restrict__ b, double* __restrict__ c,
                       T* __restrict__ grad_gamma, T* __restrict__ grad_beta, Index channels,
                       double count) {
  for (Index i = first_index(); i < channels; i += index_step()) {
    const double grad = product[i] * rstd[i], share = scale[i] / -count;
    b[i] = share * rstd[i] * grad;
    c[i] = share * total[i];
    grad_gamma[i] = T((Wide<T>)grad);
    grad_beta[i] = T((Wide<T>)total[i]);
  }
}

// decay * old + (1 - decay) * batch, the first product in the type of the averages.
template <typename T>
__device__ __forceinline__ T moved(T old, double batch, double decay) {
  const Wide<T> stays = product((Wide<T>)decay, (Wide<T>)old);
  return T((Wide<T>)((double)stays + product(1 - decay, batch)));
}

// The averages after one more batch; `unbiased` is M / (M - 1) for M values in a channel.
template <typename T>
__global__ void move_averages(const T* __restrict__ mean, const T* __restrict__ var,
                              const Index* __restrict__ updates,
                              const double* __restrict__ batch_mean,
                              const double* __restrict__ batch_var, T* __restrict__ new_mean,
                              T* __restrict__ new_var, Index* __restrict__ new_updates,
                              Index channels, double decay, double unbiased) {
  for (Index c = first_index(); c < channels; c += index_step()) {
    new_mean[c] = moved(mean[c], batch_mean[c], decay);
    new_var[c] = moved(var[c], batch_var[c] * unbiased, decay);
    if (c == 0) *new_updates = *updates + 1;
  }
}
