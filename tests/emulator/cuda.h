// What a kernel finds of CUDA when it runs on the processor: grid, block, shared memory, barriers, warp
// intrinsics, atomics.  Only what tripoint's kernels may use is here; everything else does not compile.
//
// Blocks run one after the other.  Within a block a fiber takes one thread after the other; when a thread waits
// (at a barrier or a warp intrinsic) its fiber is set aside and another one goes on with the next thread.  So a
// kernel that never waits is a plain loop over threads, and one that waits costs a switch per thread and wait.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <type_traits>
#include <utility>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

// NVRTC has no standard headers, so neither have kernels.
#undef INFINITY
#undef NAN
#undef NULL
#undef M_PI

// ---------------------------------------------------------------------------------------------- types

#define EMULATOR_VECTOR(T, name)                                                     \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                               \
    struct name##3 { T x, y, z; };                                                   \
    struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };   \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }        \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMULATOR_VECTOR(signed char, char)
EMULATOR_VECTOR(unsigned char, uchar)
EMULATOR_VECTOR(short, short)
EMULATOR_VECTOR(unsigned short, ushort)
EMULATOR_VECTOR(int, int)
EMULATOR_VECTOR(unsigned int, uint)
EMULATOR_VECTOR(long long, longlong)
EMULATOR_VECTOR(unsigned long long, ulonglong)
EMULATOR_VECTOR(float, float)
EMULATOR_VECTOR(double, double)
#undef EMULATOR_VECTOR

typedef uint3 dim3;

// -------------------------------------------------------------------------------------------- threads

namespace emulator {

enum State { FRESH, READY, AT_BARRIER, AT_WARP, DONE };
enum Meeting { SYNCWARP, BALLOT, SHUFFLE };
static const char* const meeting_names[] = {"__syncwarp", "a vote", "a shuffle"};

struct Fiber {
    void* stack_pointer = nullptr;
#if !defined(__x86_64__) && !defined(__aarch64__)
    ucontext_t context;
#endif
};

struct Thread {
    uint3 index;
    int number;
    State state;
    int line;      // where it waits
    int meetings;  // warp intrinsics so far
    Fiber* fiber;
};

struct Warp {
    uint64_t slots[2][32];  // a lane can be one intrinsic ahead of the others, never two
    int size, arrived, line;
    Meeting meeting;
};

constexpr int MAX_THREADS = 1024;
constexpr size_t STACK_BYTES = 256 * 1024;

static Thread threads[MAX_THREADS];
static Warp warps[MAX_THREADS / 32];
static Fiber fibers[MAX_THREADS];
static Fiber* idle[MAX_THREADS];
static int fiber_count = 0, idle_count = 0;
static Fiber scheduler;

static Thread* current;
static Fiber* running;
static int thread_count, unfinished, at_barrier, cursor, votes, voters;
static bool reversed, failed;
static uint3 block_index, block_size, grid_size;
static void (*entry)(void**);
static void** arguments;
static char message[1024];

// ------------------------------------------------------------------------------------------- switching

[[noreturn]] static void take_threads();

#if defined(__x86_64__)
extern "C" void emulator_switch(void** from, void* to) __attribute__((visibility("hidden")));
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch,@function
emulator_switch:
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
.size emulator_switch,.-emulator_switch
)");
static void prepare(Fiber& fiber, char* stack) {
    void** top = reinterpret_cast<void**>(stack + STACK_BYTES);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(&take_threads);
    for (int k = 3; k <= 8; ++k) top[-k] = nullptr;
    fiber.stack_pointer = top - 8;
}
static inline void switch_to(Fiber& from, Fiber& to) { emulator_switch(&from.stack_pointer, to.stack_pointer); }
#elif defined(__aarch64__)
extern "C" void emulator_switch(void** from, void* to) __attribute__((visibility("hidden")));
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch,%function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulator_switch,.-emulator_switch
)");
static void prepare(Fiber& fiber, char* stack) {
    void** frame = reinterpret_cast<void**>(stack + STACK_BYTES - 160);
    memset(frame, 0, 160);
    frame[11] = reinterpret_cast<void*>(&take_threads);
    fiber.stack_pointer = frame;
}
static inline void switch_to(Fiber& from, Fiber& to) { emulator_switch(&from.stack_pointer, to.stack_pointer); }
#else
static void prepare(Fiber& fiber, char* stack) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&take_threads), 0);
}
static inline void switch_to(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

static char* stacks[MAX_THREADS];

static char* new_stack() {
    constexpr size_t guard = 64 * 1024;  // no page is larger: a stack that overflows ends in a fault
    void* memory = mmap(nullptr, guard + STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    mprotect(memory, guard, PROT_NONE);
    return static_cast<char*>(memory) + guard;
}

static void run(Thread* thread) {
    current = thread;
    if (thread->state == FRESH) {
        if (idle_count == 0) {
            prepare(fibers[fiber_count], stacks[fiber_count] = new_stack());
            idle[idle_count++] = &fibers[fiber_count++];
        }
        thread->fiber = idle[--idle_count];
    }
    running = thread->fiber;
    switch_to(scheduler, *running);
}

static inline Thread* in_turn(int place) { return &threads[reversed ? thread_count - 1 - place : place]; }

[[noreturn]] static void take_threads() {
    for (;;) {
        entry(arguments);
        current->state = DONE;
        --unfinished;
        Fiber* self = current->fiber;
        if (cursor + 1 < thread_count && in_turn(cursor + 1)->state == FRESH) {
            current = in_turn(++cursor);
            current->fiber = self;
            continue;
        }
        idle[idle_count++] = self;
        switch_to(*self, scheduler);
    }
}

static inline void wait() { switch_to(*current->fiber, scheduler); }

[[noreturn]] static void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] static void fail(const char* format, ...) {
    int length = snprintf(message, sizeof message, "thread (%u, %u, %u) of block (%u, %u, %u): ", current->index.x,
                          current->index.y, current->index.z, block_index.x, block_index.y, block_index.z);
    va_list values;
    va_start(values, format);
    vsnprintf(message + length, sizeof message - length, format, values);
    va_end(values);
    failed = true;
    for (;;) wait();
}

// --------------------------------------------------------------------------------------------- waiting

static inline int meet_block(int vote, int line) {
    Thread& me = *current;
    me.line = line;
    me.state = AT_BARRIER;
    votes += vote != 0;
    if (++at_barrier == thread_count) {
        for (int t = 0; t < thread_count; ++t) threads[t].state = READY;
        at_barrier = 0;
        voters = votes;
        votes = 0;
    }
    wait();
    return voters;
}

static inline const uint64_t* meet_warp(Meeting meeting, unsigned mask, uint64_t value, int line) {
    Thread& me = *current;
    if (mask != 0xffffffffu) fail("the mask 0x%08x of line %d is not 0xffffffff", mask, line);
    const int first = me.number & ~31;
    Warp& warp = warps[me.number >> 5];
    if (warp.arrived == 0) {
        warp.meeting = meeting;
        warp.line = line;
    } else if (warp.meeting != meeting) {
        fail("is at %s in line %d while other lanes of its warp are at %s in line %d", meeting_names[meeting], line,
             meeting_names[warp.meeting], warp.line);
    }
    uint64_t* slots = warp.slots[me.meetings++ & 1];
    slots[me.number - first] = value;
    me.line = line;
    me.state = AT_WARP;
    if (++warp.arrived == warp.size) {
        for (int lane = 0; lane < warp.size; ++lane) threads[first + lane].state = READY;
        warp.arrived = 0;
    }
    wait();
    return slots;
}

template <class T>
static inline T shuffle(unsigned mask, T value, int source, int line) {
    static_assert(sizeof(T) <= 8, "shuffles move 32 or 64 bits");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    const uint64_t* slots = meet_warp(SHUFFLE, mask, bits, line);
    if (source >= warps[current->number >> 5].size) fail("line %d reads lane %d, which does not exist", line, source);
    memcpy(&value, &slots[source], sizeof value);
    return value;
}

static inline int lane() { return current->number & 31; }

// ------------------------------------------------------------------------------------------- launching

#if defined(__ELF__)
extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
static void poison_shared() {
    if (__start_cuda_shared) memset(__start_cuda_shared, 0xCB, __stop_cuda_shared - __start_cuda_shared);
}
#define __shared__ static __attribute__((section("cuda_shared")))
#else
static void poison_shared() {}
#define __shared__ static
#endif

static void report_divergence() {
    int done = 0, barrier = 0, warp = 0;
    const Thread *waits = nullptr, *at_warp = nullptr;
    for (int t = 0; t < thread_count; ++t) {
        const Thread& thread = threads[t];
        if (thread.state == DONE) ++done;
        if (thread.state == AT_BARRIER && barrier++ == 0) waits = &thread;
        if (thread.state == AT_WARP && warp++ == 0) at_warp = &thread;
    }
    int length = snprintf(message, sizeof message, "block (%u, %u, %u) cannot go on: of %d threads %d have returned",
                          block_index.x, block_index.y, block_index.z, thread_count, done);
    if (waits)
        length += snprintf(message + length, sizeof message - length, ", %d wait at a barrier (first: thread %d in line %d)",
                           barrier, waits->number, waits->line);
    if (at_warp)
        snprintf(message + length, sizeof message - length,
                 ", %d wait for lanes of their warp (first: thread %d in line %d)", warp, at_warp->number, at_warp->line);
    failed = true;
}

static void run_block() {
    for (int t = 0; t < thread_count; ++t) threads[t].state = FRESH;
    unfinished = thread_count;
    poison_shared();
    while (unfinished) {
        bool moved = false;
        for (cursor = 0; cursor < thread_count; ++cursor) {
            Thread* thread = in_turn(cursor);
            if (thread->state != FRESH && thread->state != READY) continue;
            run(thread);
            if (failed) return;
            moved = true;
        }
        if (!moved) return report_divergence();
    }
}

static void begin(const unsigned* grid, const unsigned* block) {
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {block[0], block[1], block[2]};
    thread_count = static_cast<int>(block[0] * block[1] * block[2]);
    at_barrier = votes = 0;
    failed = false;
    idle_count = 0;
    for (int f = fiber_count; f-- > 0;) idle[idle_count++] = &fibers[f];
    for (int t = 0; t < thread_count; ++t) {
        const unsigned n = static_cast<unsigned>(t);
        threads[t] = {{n % block[0], n / block[0] % block[1], n / block[0] / block[1]}, t, FRESH, 0, 0, nullptr};
    }
    for (int w = 0; w * 32 < thread_count; ++w) {
        warps[w].size = thread_count - w * 32 < 32 ? thread_count - w * 32 : 32;
        warps[w].arrived = 0;
    }
}

static int launch(void (*kernel)(void**), const unsigned* grid, const unsigned* block, void** values, int reverse,
                  char* error, size_t error_size) {
    begin(grid, block);
    entry = kernel;
    arguments = values;
    reversed = reverse;
    const long long blocks = 1LL * grid[0] * grid[1] * grid[2];
    for (long long b = 0; b < blocks && !failed; ++b) {
        const long long place = reversed ? blocks - 1 - b : b;
        block_index = {static_cast<unsigned>(place % grid[0]), static_cast<unsigned>(place / grid[0] % grid[1]),
                       static_cast<unsigned>(place / grid[0] / grid[1])};
        run_block();
    }
    if (failed) {
        for (int f = 0; f < fiber_count; ++f) prepare(fibers[f], stacks[f]);  // those that wait begin anew
        snprintf(error, error_size, "%s", message);
    }
    return failed;
}

// What Python checks arguments against: a letter for the kind (p pointer, then what it points to) and a size.
template <class T>
static int describe_value(char* text, size_t size) {
    using V = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<V>) {
        using E = std::remove_pointer_t<V>;
        const char* access = std::is_const_v<E> ? "in" : "out";
        int length = snprintf(text, size, "p:%s:", access);
        if constexpr (std::is_void_v<E>) return length + snprintf(text + length, size - length, "v1");
        else return length + describe_value<E>(text + length, size - length);
    } else if constexpr (std::is_same_v<V, bool>) {
        return snprintf(text, size, "b1");
    } else if constexpr (std::is_integral_v<V>) {
        const char kind = std::is_same_v<V, char> ? 'c' : std::is_signed_v<V> ? 'i' : 'u';
        return snprintf(text, size, "%c%zu", kind, sizeof(V));
    } else if constexpr (std::is_floating_point_v<V>) {
        return snprintf(text, size, "f%zu", sizeof(V));
    } else {
        return snprintf(text, size, "s%zu", sizeof(V));
    }
}

template <class F>
struct Signature;
template <class... P>
struct Signature<void (*)(P...)> {
    static int describe(char* text, size_t size) {
        int length = 0;
        ((length += describe_value<P>(text + length, size - length), length += snprintf(text + length, size - length, " ")), ...);
        return length;
    }
    template <void (*F)(P...), size_t... I>
    static void call(void** values, std::index_sequence<I...>) {
        F(*static_cast<std::remove_cv_t<P>*>(values[I])...);
    }
    template <void (*F)(P...)>
    static void enter(void** values) {
        call<F>(values, std::index_sequence_for<P...>());
    }
};

}  // namespace emulator

// ------------------------------------------------------------------------------- what kernels can name

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __CUDA_ARCH__ 900
#define __CUDACC__
#define __CUDACC_RTC__

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
#define warpSize 32

#define EMULATOR_LINE int line = __builtin_LINE()
#define EMULATOR_FUNCTION static inline __attribute__((unused))

EMULATOR_FUNCTION void __syncthreads(EMULATOR_LINE) { emulator::meet_block(0, line); }
EMULATOR_FUNCTION int __syncthreads_count(int p, EMULATOR_LINE) { return emulator::meet_block(p, line); }
EMULATOR_FUNCTION int __syncthreads_or(int p, EMULATOR_LINE) { return emulator::meet_block(p, line) != 0; }
EMULATOR_FUNCTION int __syncthreads_and(int p, EMULATOR_LINE) {
    return emulator::meet_block(p, line) == emulator::thread_count;
}
EMULATOR_FUNCTION void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_LINE) {
    emulator::meet_warp(emulator::SYNCWARP, mask, 0, line);
}
EMULATOR_FUNCTION void __threadfence() {}
EMULATOR_FUNCTION void __threadfence_block() {}

EMULATOR_FUNCTION unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    const uint64_t* slots = emulator::meet_warp(emulator::BALLOT, mask, predicate != 0, line);
    const int size = emulator::warps[emulator::current->number >> 5].size;
    unsigned bits = 0;
    for (int lane = 0; lane < size; ++lane) bits |= static_cast<unsigned>(slots[lane]) << lane;
    return bits;
}
EMULATOR_FUNCTION int __any_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    return __ballot_sync(mask, predicate, line) != 0;
}
EMULATOR_FUNCTION int __all_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    return __ballot_sync(mask, !predicate, line) == 0;
}

template <class T>
EMULATOR_FUNCTION T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_LINE) {
    const int lane = emulator::lane();
    return emulator::shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), line);
}
template <class T>
EMULATOR_FUNCTION T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_LINE) {
    const int lane = emulator::lane(), source = lane - static_cast<int>(delta);
    return emulator::shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source, line);
}
template <class T>
EMULATOR_FUNCTION T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_LINE) {
    const int lane = emulator::lane(), source = lane + static_cast<int>(delta);
    return emulator::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, line);
}
template <class T>
EMULATOR_FUNCTION T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATOR_LINE) {
    const int lane = emulator::lane(), source = lane ^ bits;
    return emulator::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, line);
}

// Atomics exist for exactly the types that CUDA has them for; of floating-point ones there are none, since the
// order of their sums would change the result.
#define EMULATOR_ATOMIC(name, T, expression)                                                 \
    EMULATOR_FUNCTION T name(T* address, T value) {                                          \
        const T old = *address;                                                              \
        *address = (expression);                                                             \
        return old;                                                                          \
    }
#define EMULATOR_ATOMIC_32(name, expression)                                                 \
    EMULATOR_ATOMIC(name, int, expression) EMULATOR_ATOMIC(name, unsigned, expression)
#define EMULATOR_ATOMIC_ALL(name, expression)                                                \
    EMULATOR_ATOMIC_32(name, expression) EMULATOR_ATOMIC(name, unsigned long long, expression)

EMULATOR_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value)))
EMULATOR_ATOMIC(atomicAdd, unsigned, old + value)
EMULATOR_ATOMIC(atomicAdd, unsigned long long, old + value)
EMULATOR_ATOMIC_32(atomicSub, old - value)
EMULATOR_ATOMIC_ALL(atomicExch, (static_cast<void>(old), value))
EMULATOR_ATOMIC(atomicExch, float, (static_cast<void>(old), value))
EMULATOR_ATOMIC_ALL(atomicMin, value < old ? value : old)
EMULATOR_ATOMIC(atomicMin, long long, value < old ? value : old)
EMULATOR_ATOMIC_ALL(atomicMax, value > old ? value : old)
EMULATOR_ATOMIC(atomicMax, long long, value > old ? value : old)
EMULATOR_ATOMIC_ALL(atomicAnd, old & value)
EMULATOR_ATOMIC_ALL(atomicOr, old | value)
EMULATOR_ATOMIC_ALL(atomicXor, old ^ value)
#undef EMULATOR_ATOMIC
#undef EMULATOR_ATOMIC_32
#undef EMULATOR_ATOMIC_ALL

#define EMULATOR_CAS(T)                                                                      \
    EMULATOR_FUNCTION T atomicCAS(T* address, T compare, T value) {                          \
        const T old = *address;                                                              \
        if (old == compare) *address = value;                                                \
        return old;                                                                          \
    }
EMULATOR_CAS(int)
EMULATOR_CAS(unsigned)
EMULATOR_CAS(unsigned long long)
EMULATOR_CAS(unsigned short)
#undef EMULATOR_CAS

template <class T>
EMULATOR_FUNCTION T __ldg(const T* address) { return *address; }

EMULATOR_FUNCTION int __popc(unsigned x) { return __builtin_popcount(x); }
EMULATOR_FUNCTION int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
EMULATOR_FUNCTION int __ffs(int x) { return __builtin_ffs(x); }
EMULATOR_FUNCTION int __ffsll(long long x) { return __builtin_ffsll(x); }
EMULATOR_FUNCTION int __clz(int x) { return x ? __builtin_clz(x) : 32; }
EMULATOR_FUNCTION int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
EMULATOR_FUNCTION unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int bit = 0; bit < 32; ++bit) y |= (x >> bit & 1u) << (31 - bit);
    return y;
}
EMULATOR_FUNCTION unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
EMULATOR_FUNCTION unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}
EMULATOR_FUNCTION unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
    unsigned result = 0;
    for (int k = 0; k < 4; ++k) {
        const unsigned choice = selector >> (4 * k);
        unsigned byte = bytes >> (8 * (choice & 7)) & 0xff;
        if (choice & 8) byte = byte & 0x80 ? 0xff : 0;
        result |= byte << (8 * k);
    }
    return result;
}
EMULATOR_FUNCTION unsigned __vcmpeq4(unsigned a, unsigned b) {
    unsigned result = 0;
    for (int k = 0; k < 32; k += 8)
        if ((a >> k & 0xff) == (b >> k & 0xff)) result |= 0xffu << k;
    return result;
}
EMULATOR_FUNCTION unsigned __vcmpne4(unsigned a, unsigned b) { return ~__vcmpeq4(a, b); }

EMULATOR_FUNCTION float __fmul_rn(float x, float y) { return x * y; }
EMULATOR_FUNCTION float __fadd_rn(float x, float y) { return x + y; }
EMULATOR_FUNCTION float __fsub_rn(float x, float y) { return x - y; }
EMULATOR_FUNCTION float __fdiv_rn(float x, float y) { return x / y; }
EMULATOR_FUNCTION float __fsqrt_rn(float x) { return sqrtf(x); }
EMULATOR_FUNCTION double __dmul_rn(double x, double y) { return x * y; }
EMULATOR_FUNCTION double __dadd_rn(double x, double y) { return x + y; }
EMULATOR_FUNCTION double __dsub_rn(double x, double y) { return x - y; }
EMULATOR_FUNCTION double __ddiv_rn(double x, double y) { return x / y; }
EMULATOR_FUNCTION double __dsqrt_rn(double x) { return sqrt(x); }

#define EMULATOR_CAST(name, From, To)                                                        \
    EMULATOR_FUNCTION To name(From value) {                                                  \
        To bits;                                                                             \
        memcpy(&bits, &value, sizeof bits);                                                  \
        return bits;                                                                         \
    }
EMULATOR_CAST(__float_as_int, float, int)
EMULATOR_CAST(__int_as_float, int, float)
EMULATOR_CAST(__float_as_uint, float, unsigned)
EMULATOR_CAST(__uint_as_float, unsigned, float)
EMULATOR_CAST(__double_as_longlong, double, long long)
EMULATOR_CAST(__longlong_as_double, long long, double)
#undef EMULATOR_CAST

template <class A, class B>
EMULATOR_FUNCTION std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <class A, class B>
EMULATOR_FUNCTION std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}
