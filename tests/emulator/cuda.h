// What a kernel finds of CUDA when it runs on the processor: grid, block, shared memory, barriers, warp
// intrinsics, atomics.  Only what tripoint's kernels may use is here; everything else does not compile.
//
// How threads run, wait and are watched is in runtime.cpp.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <type_traits>
#include <utility>

// NVRTC has no standard headers, so neither have kernels.
#undef INFINITY
#undef NAN
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

// ------------------------------------------------------------------------------------- what runtime.cpp has

namespace emulator {

enum Access { READ, WRITE, ATOMIC };

#define EMULATOR_PURE __attribute__((pure))
#define EMULATOR_OWN __attribute__((no_sanitize("thread", "undefined")))  // not the kernel's: not watched

EMULATOR_PURE uint3 thread_index();
EMULATOR_PURE uint3 block_index();
EMULATOR_PURE uint3 block_size();
EMULATOR_PURE uint3 grid_size();
EMULATOR_PURE int thread_count();
EMULATOR_PURE int lane();

// Wait for the block, and return for how many of its threads the vote was not 0.
int meet_block(int vote, int line);
// Wait for the warp, and return nothing, the lanes that vote, or what another lane brought.
void meet_warp(unsigned mask, int line);
unsigned ballot(unsigned mask, bool vote, int line);
uint64_t exchange(unsigned mask, uint64_t bits, int source, int line);
void watch(const void* address, unsigned size, Access access);
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
int launch(void (*kernel)(void**), const struct Launch& launch);

struct Launch {
    const unsigned *grid, *block;
    void** values;
    const uintptr_t* ranges;  // where the kernel may read and write: start, size, argument; start, size, ...
    int range_count, reverse;
    int races;  // whether to look for them in the ranges too
    char* error;
    size_t error_size;
};

template <class T>
static inline T shuffle(unsigned mask, T value, int source, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 32 or 64 bits");
    std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t> bits;
    memcpy(&bits, &value, sizeof value);
    bits = static_cast<decltype(bits)>(exchange(mask, bits, source, line));
    memcpy(&value, &bits, sizeof value);
    return value;
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
    EMULATOR_OWN static void call(void** values, std::index_sequence<I...>) {
        F(*static_cast<std::remove_cv_t<P>*>(values[I])...);
    }
    template <void (*F)(P...)>
    EMULATOR_OWN static void enter(void** values) {
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

#if defined(__ELF__)
#define __shared__ static __attribute__((section("cuda_shared"), used))
#else
#define __shared__ static
#endif

#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())
#define blockDim (emulator::block_size())
#define gridDim (emulator::grid_size())
#define warpSize 32

#define EMULATOR_LINE int line = __builtin_LINE()
#define EMULATOR_FUNCTION static inline __attribute__((unused))
#define EMULATOR_UNWATCHED EMULATOR_OWN static __attribute__((unused, noinline))

EMULATOR_FUNCTION void __syncthreads(EMULATOR_LINE) { emulator::meet_block(0, line); }
EMULATOR_FUNCTION int __syncthreads_count(int p, EMULATOR_LINE) { return emulator::meet_block(p, line); }
EMULATOR_FUNCTION int __syncthreads_or(int p, EMULATOR_LINE) { return emulator::meet_block(p, line) != 0; }
EMULATOR_FUNCTION int __syncthreads_and(int p, EMULATOR_LINE) {
    return emulator::meet_block(p, line) == emulator::thread_count();
}
EMULATOR_FUNCTION void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_LINE) {
    emulator::meet_warp(mask, line);
}
EMULATOR_FUNCTION void __threadfence() {}
EMULATOR_FUNCTION void __threadfence_block() {}

EMULATOR_FUNCTION unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    return emulator::ballot(mask, predicate != 0, line);
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
    EMULATOR_UNWATCHED T name(T* address, T value) {                                         \
        emulator::watch(address, sizeof(T), emulator::ATOMIC);                               \
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
    EMULATOR_UNWATCHED T atomicCAS(T* address, T compare, T value) {                         \
        emulator::watch(address, sizeof(T), emulator::ATOMIC);                               \
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

#ifndef EMULATOR_RUNTIME
// NVRTC knows no <stdint.h>; kernels may define these names themselves.
#define int8_t int8_t_of_stdint
#define int16_t int16_t_of_stdint
#define int32_t int32_t_of_stdint
#define int64_t int64_t_of_stdint
#define uint8_t uint8_t_of_stdint
#define uint16_t uint16_t_of_stdint
#define uint32_t uint32_t_of_stdint
#define uint64_t uint64_t_of_stdint
#define uint uint_of_types
#endif
