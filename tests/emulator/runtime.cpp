// How emulated threads run, wait and are watched.
//
// Blocks run one after the other.  Within a block a fiber takes one thread after the other; when a thread waits
// (at a barrier or a warp intrinsic) its fiber is set aside and another one goes on with the next thread.  So a
// kernel that never waits is a plain loop over threads, and one that waits costs a switch per thread and wait.
//
// Kernels are compiled with the instrumentation of ThreadSanitizer and UndefinedBehaviorSanitizer, whose calls end
// here instead of in their libraries: every access is looked up in the memory that the launch was given, and accesses
// to shared memory (and where asked for, to the arguments' memory) are checked for races: two threads, one of them
// writing, with no barrier in between.  What is meant to race is atomic, or goes through a volatile pointer; a write that
// leaves the value as it was is none.
#define EMULATOR_RUNTIME
#include "cuda.h"

#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace emulator {

enum Meeting { SYNCWARP, VOTE, SHUFFLE };
static const char* const meeting_names[] = {"__syncwarp", "a vote", "a shuffle"};

enum State { FRESH, READY, AT_BARRIER, AT_WARP, DONE };

struct Fiber {
    void* stack_pointer;
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
    uint32_t synced;  // how often __syncwarp was passed: orders accesses within the warp
};

struct Shadow;

struct Range {
    uintptr_t start, size, argument;
    Shadow* shadows;  // who used each byte, where that is watched
    bool holds(uintptr_t address, size_t bytes) const { return address - start < size && size - (address - start) >= bytes; }
};

constexpr int MAX_THREADS = 1024, MAX_RANGES = 64;
constexpr size_t STACK_BYTES = 256 * 1024, GUARD_BYTES = 64 * 1024;  // no page is larger than the guard

static Thread threads[MAX_THREADS];
static Warp warps[MAX_THREADS / 32];
static Fiber fibers[MAX_THREADS], scheduler;
static Fiber* idle[MAX_THREADS];
static int fiber_count, idle_count;

static Thread* current;
static int count, unfinished, at_barrier, cursor, votes, counted_votes;
static uint32_t epoch, block_epoch;  // barriers passed and blocks begun; the latter when this block began
static bool reversed, failed;
static uint3 block, block_sizes, grid_sizes;
static void (*entry)(void**);
static void** arguments;
static char message[1024];

static Range given[MAX_RANGES], stacks, library, shared;
static int given_count;

uint3 thread_index() { return current->index; }
uint3 block_index() { return block; }
uint3 block_size() { return block_sizes; }
uint3 grid_size() { return grid_sizes; }
int thread_count() { return count; }
int lane() { return current->number & 31; }

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

static char* stack_of(int fiber) { return reinterpret_cast<char*>(stacks.start) + fiber * (GUARD_BYTES + STACK_BYTES) + GUARD_BYTES; }

static Fiber* idle_fiber() {
    if (idle_count) return idle[--idle_count];
    if (mprotect(stack_of(fiber_count), STACK_BYTES, PROT_READ | PROT_WRITE)) abort();
    prepare(fibers[fiber_count], stack_of(fiber_count));
    return &fibers[fiber_count++];
}

static void run(Thread* thread) {
    current = thread;
    if (thread->state == FRESH) thread->fiber = idle_fiber();
    switch_to(scheduler, *thread->fiber);
}

static inline Thread* in_turn(int place) { return &threads[reversed ? count - 1 - place : place]; }

static void settle();

[[noreturn]] static void take_threads() {
    for (;;) {
        entry(arguments);
        settle();
        current->state = DONE;
        --unfinished;
        Fiber* self = current->fiber;
        if (cursor + 1 < count && in_turn(cursor + 1)->state == FRESH) {
            current = in_turn(++cursor);
            current->fiber = self;
            continue;
        }
        idle[idle_count++] = self;
        switch_to(*self, scheduler);
    }
}

static inline void wait() {
    settle();
    switch_to(*current->fiber, scheduler);
}

void fail(const char* format, ...) {
    int length = snprintf(message, sizeof message, "thread (%u, %u, %u) of block (%u, %u, %u) ", current->index.x,
                          current->index.y, current->index.z, block.x, block.y, block.z);
    va_list values;
    va_start(values, format);
    vsnprintf(message + length, sizeof message - length, format, values);
    va_end(values);
    failed = true;
    for (;;) switch_to(*current->fiber, scheduler);
}

// --------------------------------------------------------------------------------------------- waiting

int meet_block(int vote, int line) {
    current->line = line;
    current->state = AT_BARRIER;
    votes += vote != 0;
    if (++at_barrier == count) {
        for (int t = 0; t < count; ++t) threads[t].state = READY;
        at_barrier = 0;
        counted_votes = votes;
        votes = 0;
        ++epoch;
    }
    wait();
    return counted_votes;
}

static const uint64_t* bring(Meeting meeting, unsigned mask, uint64_t value, int line) {
    Thread& me = *current;
    if (mask != 0xffffffffu) fail("has the mask 0x%08x in line %d instead of 0xffffffff", mask, line);
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
        if (meeting == SYNCWARP) ++warp.synced;
    }
    wait();
    return slots;
}

void meet_warp(unsigned mask, int line) { bring(SYNCWARP, mask, 0, line); }

unsigned ballot(unsigned mask, bool vote, int line) {
    const uint64_t* brought = bring(VOTE, mask, vote, line);
    unsigned bits = 0;
    for (int lane = 0; lane < warps[current->number >> 5].size; ++lane) bits |= static_cast<unsigned>(brought[lane]) << lane;
    return bits;
}

uint64_t exchange(unsigned mask, uint64_t bits, int source, int line) {
    const uint64_t* brought = bring(SHUFFLE, mask, bits, line);
    if (source >= warps[current->number >> 5].size) fail("reads in line %d from lane %d, which does not exist", line, source);
    return brought[source];
}

static void report_divergence() {
    int done = 0, barrier = 0, warp = 0;
    const Thread *at_block = nullptr, *at_warp = nullptr;
    for (int t = 0; t < count; ++t) {
        const Thread& thread = threads[t];
        if (thread.state == DONE) ++done;
        if (thread.state == AT_BARRIER && barrier++ == 0) at_block = &thread;
        if (thread.state == AT_WARP && warp++ == 0) at_warp = &thread;
    }
    int length = snprintf(message, sizeof message, "block (%u, %u, %u) cannot go on: of %d threads %d have returned", block.x,
                          block.y, block.z, count, done);
    if (at_block)
        length += snprintf(message + length, sizeof message - length, ", %d wait at a barrier (thread %d in line %d)", barrier,
                           at_block->number, at_block->line);
    if (at_warp)
        snprintf(message + length, sizeof message - length, ", %d wait for lanes of their warp (thread %d in line %d)", warp,
                 at_warp->number, at_warp->line);
    failed = true;
}

// -------------------------------------------------------------------------------------------- watching

// Who used a byte last.  Epochs go up with every barrier and block, so they also tell blocks apart.
struct Use {
    uint32_t epoch;
    int16_t thread;  // of the block, or several
    uint16_t synced : 15, atomic : 1;
};
enum { OF_MORE_BLOCKS = -3000, OF_MORE_WARPS = -2000, OF_ONE_WARP = -1 };  // OF_ONE_WARP - warp

struct Shadow {
    Use read, write;
};
static_assert(sizeof(Shadow) == 16, "memory of a byte that is watched");

// A write that would be a race, unless it turns out to leave the value as it was.
static struct {
    unsigned char* address;
    unsigned size;
    Use other;
    const Range* range;
    unsigned char before[16];
} doubtful;

static uint16_t synced() { return warps[current->number >> 5].synced & 0x7fff; }

static inline int warp_of(const Use& use) { return use.thread < 0 ? OF_ONE_WARP - use.thread : use.thread >> 5; }

// Whether nothing orders a use before what the current thread does: no barrier, nor the end of the kernel.
static inline bool concurrent(const Use& use, bool shared_by_blocks) {
    if (use.epoch == 0) return false;
    if (use.thread == OF_MORE_BLOCKS) return true;
    if (use.epoch < block_epoch) return shared_by_blocks;
    if (use.epoch != epoch || use.thread == current->number) return false;
    if (use.thread == OF_MORE_WARPS || warp_of(use) != current->number >> 5) return true;
    return use.synced == synced();
}

[[noreturn]] static void report_race(const unsigned char* address, const Range& range, const Use& other) {
    char who[64] = "other threads use";
    if (other.thread != OF_MORE_BLOCKS && other.epoch < block_epoch) snprintf(who, sizeof who, "another block use");
    else if (other.thread >= 0) snprintf(who, sizeof who, "thread number %d of the block use", other.thread);
    const size_t byte = address - reinterpret_cast<unsigned char*>(range.start);
    if (&range == &shared)
        fail("and %s byte %zu of shared memory with no barrier in between, at least one of them to write", who, byte);
    fail("and %s byte %zu behind argument %zu with nothing in between that orders them, at least one of them to write",
         who, byte, static_cast<size_t>(range.argument));
}

static void settle() {
    if (!doubtful.address) return;
    unsigned char* address = doubtful.address;
    doubtful.address = nullptr;
    if (memcmp(address, doubtful.before, doubtful.size)) report_race(address, *doubtful.range, doubtful.other);
}

static void note_read(Use& use, bool atomic, bool shared_by_blocks) {
    int thread = current->number;
    if (concurrent(use, shared_by_blocks)) {
        const bool one_block = use.epoch >= block_epoch && use.thread != OF_MORE_BLOCKS;
        const bool one_warp = one_block && use.thread != OF_MORE_WARPS && warp_of(use) == thread >> 5;
        thread = one_warp ? OF_ONE_WARP - (thread >> 5) : one_block ? OF_MORE_WARPS : OF_MORE_BLOCKS;
        atomic = atomic && use.atomic;
    }
    use = {epoch, static_cast<int16_t>(thread), synced(), atomic};
}

static void watch_uses(const Range& range, unsigned char* bytes, unsigned size, Access access, bool atomic) {
    const bool by_blocks = &range != &shared;
    for (unsigned k = 0; k < size; ++k) {
        Shadow& shadow = range.shadows[bytes + k - reinterpret_cast<unsigned char*>(range.start)];
        const bool after_write = concurrent(shadow.write, by_blocks) && !(atomic && shadow.write.atomic);
        if (access == READ) {
            if (after_write) report_race(bytes, range, shadow.write);
            note_read(shadow.read, atomic, by_blocks);
            continue;
        }
        const bool after_read = concurrent(shadow.read, by_blocks) && !(atomic && shadow.read.atomic);
        if ((after_write || after_read) && !doubtful.address) {
            doubtful.address = bytes;
            doubtful.size = size < 16 ? size : 16;
            doubtful.other = after_write ? shadow.write : shadow.read;
            doubtful.range = &range;
            memcpy(doubtful.before, bytes, doubtful.size);
        }
        shadow.write = {epoch, static_cast<int16_t>(current->number), synced(), atomic};
    }
}

[[noreturn]] static void report_access(uintptr_t address, unsigned size, Access access, const void* place) {
    const char* verb = access == READ ? "reads" : "writes";
    const size_t at = reinterpret_cast<uintptr_t>(place) - library.start;
    int nearest = -1;
    intptr_t least = 0;
    for (int r = 0; r < given_count; ++r) {
        const intptr_t past = static_cast<intptr_t>(address - given[r].start - given[r].size);
        const intptr_t before = static_cast<intptr_t>(given[r].start - address);
        const intptr_t off = past >= 0 ? past : before > 0 ? before : 0;
        if (nearest < 0 || off < least) nearest = r, least = off;
    }
    if (nearest < 0 || least > (1 << 20)) fail("%s %u bytes where none of the arguments is [%zx]", verb, size, at);
    const intptr_t offset = static_cast<intptr_t>(address - given[nearest].start);
    fail("%s %u bytes at offset %td of the %zu bytes behind argument %zu [%zx]", verb, size, offset,
         static_cast<size_t>(given[nearest].size), static_cast<size_t>(given[nearest].argument), at);
}

static inline void check(const void* pointer, unsigned size, Access access, bool atomic, const void* place) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    unsigned char* bytes = reinterpret_cast<unsigned char*>(address);
    if (doubtful.address) settle();
    for (int r = 0; r < given_count; ++r)
        if (given[r].holds(address, size)) {
            if (given[r].shadows) watch_uses(given[r], bytes, size, access, atomic);
            return;
        }
    if (shared.holds(address, size)) return watch_uses(shared, bytes, size, access, atomic);
    if (stacks.holds(address, size) || library.holds(address, size)) return;
    report_access(address, size, access, place);
}

void watch(const void* address, unsigned size, Access access) {
    if (reinterpret_cast<uintptr_t>(address) % size) fail("uses an atomic on an address that is no multiple of %u", size);
    check(address, size, access == READ ? READ : WRITE, access == ATOMIC, __builtin_return_address(0));
}

// ------------------------------------------------------------------------------------------- launching

extern "C" char __start_cuda_shared[] __attribute__((visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((visibility("hidden")));
__attribute__((section("cuda_shared"), used)) static char always[16];  // the linker names no section that is not there

static int find_library(dl_phdr_info* info, size_t, void*) {
    uintptr_t low = UINTPTR_MAX, high = 0;
    for (int k = 0; k < info->dlpi_phnum; ++k) {
        const auto& segment = info->dlpi_phdr[k];
        if (segment.p_type != PT_LOAD) continue;
        const uintptr_t start = info->dlpi_addr + segment.p_vaddr;
        if (start < low) low = start;
        if (start + segment.p_memsz > high) high = start + segment.p_memsz;
    }
    const uintptr_t here = reinterpret_cast<uintptr_t>(&threads);
    if (here < low || here >= high) return 0;
    library = {low, high - low, 0, nullptr};
    return 1;
}

static void prepare_once() {
    if (stacks.start) return;
    const size_t size = MAX_THREADS * (GUARD_BYTES + STACK_BYTES);
    void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks = {reinterpret_cast<uintptr_t>(memory), size, 0, nullptr};
    dl_iterate_phdr(find_library, nullptr);
    const uintptr_t start = reinterpret_cast<uintptr_t>(__start_cuda_shared);
    shared = {start, reinterpret_cast<uintptr_t>(__stop_cuda_shared) - start, 0, nullptr};
    shared.shadows = static_cast<Shadow*>(calloc(shared.size, sizeof(Shadow)));
}

static void begin(const Launch& launch) {
    const unsigned *grid = launch.grid, *sizes = launch.block;
    grid_sizes = {grid[0], grid[1], grid[2]};
    block_sizes = {sizes[0], sizes[1], sizes[2]};
    count = static_cast<int>(sizes[0] * sizes[1] * sizes[2]);
    arguments = launch.values;
    reversed = launch.reverse;
    at_barrier = votes = idle_count = 0;
    doubtful.address = nullptr;
    failed = false;
    for (int f = fiber_count; f-- > 0;) idle[idle_count++] = &fibers[f];
    for (int t = 0; t < count; ++t) {
        const unsigned n = static_cast<unsigned>(t);
        threads[t] = {{n % sizes[0], n / sizes[0] % sizes[1], n / sizes[0] / sizes[1]}, t, FRESH, 0, 0, nullptr};
    }
    for (int w = 0; w * 32 < count; ++w) {
        warps[w].size = count - w * 32 < 32 ? count - w * 32 : 32;
        warps[w].arrived = 0;
    }
    given_count = launch.range_count < MAX_RANGES ? launch.range_count : MAX_RANGES;
    for (int r = 0; r < given_count; ++r) {
        given[r] = {launch.ranges[3 * r], launch.ranges[3 * r + 1], launch.ranges[3 * r + 2], nullptr};
        if (launch.races) given[r].shadows = static_cast<Shadow*>(calloc(given[r].size, sizeof(Shadow)));
    }
}

static void run_block() {
    for (int t = 0; t < count; ++t) threads[t].state = FRESH;
    unfinished = count;
    block_epoch = ++epoch;
    memset(reinterpret_cast<void*>(shared.start), 0xCB, shared.size);
    while (unfinished) {
        bool moved = false;
        for (cursor = 0; cursor < count; ++cursor) {
            Thread* thread = in_turn(cursor);
            if (thread->state != FRESH && thread->state != READY) continue;
            run(thread);
            if (failed) return;
            moved = true;
        }
        if (!moved) return report_divergence();
    }
}

int launch(void (*kernel)(void**), const Launch& launch) {
    prepare_once();
    begin(launch);
    entry = kernel;
    const unsigned* grid = launch.grid;
    const long long blocks = 1LL * grid[0] * grid[1] * grid[2];
    for (long long b = 0; b < blocks && !failed; ++b) {
        const long long place = reversed ? blocks - 1 - b : b;
        block = {static_cast<unsigned>(place % grid[0]), static_cast<unsigned>(place / grid[0] % grid[1]),
                 static_cast<unsigned>(place / grid[0] / grid[1])};
        run_block();
    }
    for (int r = 0; r < given_count; ++r) free(given[r].shadows);
    if (failed) {
        for (int f = 0; f < fiber_count; ++f) prepare(fibers[f], stack_of(f));  // those that wait begin anew
        snprintf(launch.error, launch.error_size, "%s", message);
    }
    return failed;
}

}  // namespace emulator

// -------------------------------------------------------------------------- what the instrumentation calls

#define PLACE __builtin_return_address(0)
#define WATCHED(n)                                                                                                    \
    extern "C" void __tsan_read##n(void* p) { emulator::check(p, n, emulator::READ, false, PLACE); }                  \
    extern "C" void __tsan_write##n(void* p) { emulator::check(p, n, emulator::WRITE, false, PLACE); }                \
    extern "C" void __tsan_unaligned_read##n(void* p) { emulator::check(p, n, emulator::READ, false, PLACE); }        \
    extern "C" void __tsan_unaligned_write##n(void* p) { emulator::check(p, n, emulator::WRITE, false, PLACE); }      \
    extern "C" void __tsan_read_write##n(void* p) { emulator::check(p, n, emulator::WRITE, false, PLACE); }           \
    extern "C" void __tsan_unaligned_read_write##n(void* p) { emulator::check(p, n, emulator::WRITE, false, PLACE); } \
    extern "C" void __tsan_volatile_read##n(void* p) { emulator::check(p, n, emulator::READ, true, PLACE); }          \
    extern "C" void __tsan_volatile_write##n(void* p) { emulator::check(p, n, emulator::WRITE, true, PLACE); }        \
    extern "C" void __tsan_unaligned_volatile_read##n(void* p) { emulator::check(p, n, emulator::READ, true, PLACE); } \
    extern "C" void __tsan_unaligned_volatile_write##n(void* p) { emulator::check(p, n, emulator::WRITE, true, PLACE); }
WATCHED(1)
WATCHED(2)
WATCHED(4)
WATCHED(8)
WATCHED(16)

extern "C" void __tsan_read_range(void* p, size_t n) { emulator::check(p, n, emulator::READ, false, PLACE); }
extern "C" void __tsan_write_range(void* p, size_t n) { emulator::check(p, n, emulator::WRITE, false, PLACE); }
extern "C" void* __tsan_memcpy(void* to, const void* from, size_t n) {
    emulator::check(from, n, emulator::READ, false, PLACE);
    emulator::check(to, n, emulator::WRITE, false, PLACE);
    return memcpy(to, from, n);
}
extern "C" void* __tsan_memmove(void* to, const void* from, size_t n) {
    emulator::check(from, n, emulator::READ, false, PLACE);
    emulator::check(to, n, emulator::WRITE, false, PLACE);
    return memmove(to, from, n);
}
extern "C" void* __tsan_memset(void* to, int value, size_t n) {
    emulator::check(to, n, emulator::WRITE, false, PLACE);
    return memset(to, value, n);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}

// Every report of UndefinedBehaviorSanitizer begins with the place in the source.
struct Place {
    const char* file;
    uint32_t line, column;
};
#define UNDEFINED(name, words)                                                    \
    extern "C" void __ubsan_handle_##name(const Place* place, uintptr_t, uintptr_t) { \
        emulator::fail("%s in line %u of %s", words, place->line, place->file);   \
    }
UNDEFINED(type_mismatch_v1, "uses an address that is not aligned for its type")
UNDEFINED(out_of_bounds, "uses an index beyond its array")
UNDEFINED(add_overflow, "overflows a signed integer by adding")
UNDEFINED(sub_overflow, "overflows a signed integer by subtracting")
UNDEFINED(mul_overflow, "overflows a signed integer by multiplying")
UNDEFINED(negate_overflow, "overflows a signed integer by negating")
UNDEFINED(divrem_overflow, "divides an integer by zero")
UNDEFINED(shift_out_of_bounds, "shifts by as many bits as the integer has, or more")
