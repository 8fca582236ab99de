// The first engine: every CUDA thread is a fiber, a function with a stack of its own that hands
// on the CPU when it waits.  A thread that never waits needs none: a fiber that has run one
// thread to its end takes the next that has not begun.
#pragma once
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace host {

constexpr size_t STACK = 128 << 10;  // bytes

struct Fiber {
  std::unique_ptr<char[]> stack{new char[STACK]};
  Lane* lane = nullptr;
  void* shadow = nullptr;            // AddressSanitizer's notes about a stack that is left
#if defined(__x86_64__)
  void* top = nullptr;               // its stack pointer while it is left
#else
  ucontext_t context;
#endif
};

inline std::vector<std::unique_ptr<Fiber>> fibers;
inline std::vector<Fiber*> idle;     // those whose thread has ended
inline std::vector<Fiber*> of_lane;  // who runs which thread
inline Fiber* running = nullptr;
inline unsigned begun = 0;           // threads that were taken by a fiber
inline unsigned begin_until = 0;     // how many may be
inline std::vector<unsigned> turn;   // the order of threads

inline Lane& current() { return *running->lane; }

#if defined(__x86_64__)
// Only what a called function must keep has to be kept; everything else is the caller's affair.
extern "C" void minicnn_host_switch(void** left, void* taken) __attribute__((visibility("hidden")));
asm(R"(
.pushsection .text
.hidden minicnn_host_switch
.globl minicnn_host_switch
.type minicnn_host_switch, @function
minicnn_host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size minicnn_host_switch, .-minicnn_host_switch
.popsection
)");
inline void* main_top;
#else
inline ucontext_t main_context;
#endif
inline void* main_shadow;
inline const void* main_bottom;
inline size_t main_size;

inline void to_scheduler() {
  Fiber* me = running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&me->shadow, main_bottom, main_size);
#endif
#if defined(__x86_64__)
  minicnn_host_switch(&me->top, main_top);
#else
  swapcontext(&me->context, &main_context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(me->shadow, &main_bottom, &main_size);
#endif
}

inline void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
  for (;;) {
    while (begun < begin_until) {
      Lane& lane = lanes[turn[begun++]];
      running->lane = &lane;
      of_lane[lane.number] = running;
      lane.state = READY;
      body(body_argument);
      lane.state = DONE;
    }
    idle.push_back(running);
    to_scheduler();
  }
}

inline void resume(Fiber* fiber) {
  running = fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&main_shadow, fiber->stack.get(), STACK);
#endif
#if defined(__x86_64__)
  minicnn_host_switch(&main_top, fiber->top);
#else
  swapcontext(&main_context, &fiber->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(main_shadow, nullptr, nullptr);
#endif
}

inline Fiber* new_fiber() {
  fibers.emplace_back(new Fiber);
  Fiber* fiber = fibers.back().get();
#if defined(__x86_64__)
  // As if `fiber_main` had been called and had been left at once: its address to return to, below
  // it six registers. On entry of a function the stack is 8 past a multiple of 16.
  auto top = reinterpret_cast<uintptr_t>(fiber->stack.get() + STACK) & ~uintptr_t(15);
  void** frame = reinterpret_cast<void**>(top) - 2;
  frame[0] = reinterpret_cast<void*>(fiber_main);
  frame[1] = nullptr;
  for (int i = 1; i <= 6; ++i) frame[-i] = nullptr;
  fiber->top = frame - 6;
#else
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = STACK;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, fiber_main, 0);
#endif
  return fiber;
}

inline void wait(State state, int line, unsigned mask) {
  Lane& me = current();
  me.state = state;
  me.line = line;
  me.mask = mask;
  to_scheduler();
}

// Let warps go on whose named threads have all arrived; a barrier among 32.
inline bool release_warps() {
  bool any = false;
  for (unsigned first = 0; first < lanes.size(); first += WARP) {
    unsigned end = std::min<unsigned>(first + WARP, lanes.size());
    for (unsigned i = first; i < end; ++i) {
      if (lanes[i].state != IN_WARP) continue;
      unsigned mask = lanes[i].mask;
      bool complete = true;
      for (unsigned j = first; j < end; ++j) {
        if (!(mask >> (j - first) & 1)) continue;
        if (lanes[j].state == DONE)
          fail("the warp mask at line %ld names thread %ld, which has returned", lanes[i].line, j);
        complete = complete && lanes[j].state == IN_WARP && lanes[j].mask == mask;
      }
      if (!(mask >> (i - first) & 1)) fail("thread %ld is not in its own warp mask", i);
      if (!complete) continue;
      for (unsigned j = first; j < end; ++j)
        if (mask >> (j - first) & 1) lanes[j].state = READY;
      any = true;
    }
  }
  return any;
}

// Let the block go on if all of it has arrived at one and the same barrier.
inline bool release_block() {
  unsigned waiting = 0, done = 0;
  int line = 0;
  for (auto& lane : lanes) {
    if (lane.state == DONE) ++done;
    if (lane.state != AT_BARRIER) continue;
    if (waiting++ && lane.line != line)
      fail("threads wait at different __syncthreads, lines %ld and %ld", line, lane.line);
    line = lane.line;
  }
  if (!waiting || waiting + done < lanes.size()) return false;
  if (done) fail("__syncthreads at line %ld, but %ld threads have returned", line, done);
  for (auto& lane : lanes)
    if (lane.state == AT_BARRIER) lane.state = READY;
  return true;
}

inline void set_turns() {
  turn.resize(lanes.size());
  for (unsigned i = 0; i < turn.size(); ++i) turn[i] = order == 1 ? turn.size() - 1 - i : i;
  if (order == 2)
    for (unsigned i = turn.size(); i > 1; --i) {
      shuffle = shuffle * 1664525u + 1013904223u;
      std::swap(turn[i - 1], turn[(shuffle >> 8) % i]);
    }
}

// Run threads of `turn` from `first` to `end`, and let their warps go on, as far as they come.
inline bool run_far(unsigned first, unsigned end) {
  bool any = false;
  for (bool ran = true; ran;) {
    ran = false;
    for (unsigned i = first; i < end; ++i)
      if (lanes[turn[i]].state == READY) {
        ran = true;
        resume(of_lane[turn[i]]);
      }
    any = any || ran;
    ran = release_warps() || ran;
    if (error[0]) break;
  }
  return any;
}

inline void run_block() {
  for (auto& lane : lanes) {
    lane.state = NEW;
    lane.exchanges = 0;
    lane.copies.clear();
    lane.copy_groups = 0;
  }
  set_turns();
  of_lane.assign(lanes.size(), nullptr);
  begun = 0;
  // Backwards, each warp goes as far ahead of the others as it can: that shows what one warp
  // writes before another has read what was there. Else all go from one wait to the next together.
  const unsigned together = order == 1 ? WARP : lanes.size();
  for (unsigned first = 0; first < lanes.size(); first += together) {
    begin_until = std::min<unsigned>(first + together, lanes.size());
    while (begun < begin_until) {
      if (idle.empty()) idle.push_back(new_fiber());
      Fiber* fiber = idle.back();
      idle.pop_back();
      resume(fiber);
    }
    if (order == 1) run_far(first, begin_until);
  }
  for (;;) {
    if (order == 2) set_turns();
    bool ran = false, left = false;
    for (unsigned first = 0; first < lanes.size(); first += together)
      ran = run_far(first, std::min<unsigned>(first + together, lanes.size())) || ran;
    for (auto& lane : lanes) left = left || lane.state != DONE;
    if (!left || error[0]) break;
    if (!release_block() && !ran) {
      long at = 0, many = 0;
      for (auto& lane : lanes)
        if (lane.state != DONE) { at = lane.line; ++many; }
      fail("%ld threads wait for ever, the last at line %ld", many, at);
    }
  }
  if (error[0]) {  // threads that wait are given up with their stacks
    fibers.clear();
    idle.clear();
    return;
  }
  for (auto& lane : lanes)
    if (!lane.copies.empty()) {
      fail("thread %ld returned with asynchronous copies under way", lane.number);
      return;
    }
}

inline char* shared_piece(const void* site, size_t size) {
  return arena.bytes + place_of(site, size);
}

}  // namespace host
