// The second engine: one thread of the CPU for each CUDA thread, for ThreadSanitizer.
#pragma once

namespace host {

inline thread_local Lane* mine = nullptr;
inline Lane& current() { return *mine; }

struct Barrier {
  unsigned arrived = 0, alive = 0, round = 0;
  std::mutex mutex;
  std::condition_variable changed;

  void open() {
    arrived = 0;
    ++round;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    unsigned now = round;
    if (++arrived >= alive) open();
    else changed.wait(lock, [&] { return round != now; });
  }
  void leave() {
    std::unique_lock<std::mutex> lock(mutex);
    --alive;
    if (alive && arrived >= alive) open();
  }
};

inline Barrier block_barrier;
inline std::vector<Barrier> warp_barriers(WARP);

inline void wait(State state, int, unsigned) {
  if (state == AT_BARRIER) block_barrier.wait();
  else warp_barriers[current().number / WARP].wait();
}

inline void run_block() {
  block_barrier.alive = lanes.size();
  for (auto& barrier : warp_barriers) barrier.alive = 0;
  for (auto& lane : lanes) {
    ++warp_barriers[lane.number / WARP].alive;
    lane.exchanges = 0;
    lane.copies.clear();
    lane.copy_groups = 0;
  }
  std::vector<std::thread> threads;
  for (auto& lane : lanes)
    threads.emplace_back([&lane] {
      mine = &lane;
      body(body_argument);
      block_barrier.leave();
      warp_barriers[lane.number / WARP].leave();
    });
  for (auto& thread : threads) thread.join();
}

// The lock orders two threads that come to one declaration; what they do afterwards it does not.
inline std::mutex sites;
inline char* shared_piece(const void* site, size_t size) {
  std::lock_guard<std::mutex> lock(sites);
  return arena.bytes + place_of(site, size);
}

}  // namespace host
