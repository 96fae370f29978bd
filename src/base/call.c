/* SPDX-License-Identifier: Apache-2.0 */
#include "base/call.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* gcc defines these macros itself. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

/* As large as a thread's: libraries of others (MPI) run on it, too. Pages exist once they are touched. */
#define STACK_BYTES ((size_t)8 << 20)
#define GUARD_BYTES ((size_t)64 << 10)

enum state { IDLE, RUNNING, LEFT };

struct sgp_call {
    enum state state;
    const char *name;
    sgp_call_body_fn body;
    pthread_t thread; /* that runs it, or has left it */
    sgp_status_t status;
    bool cancelled;
    uint64_t slice, slice_end; /* slice_end 0: the first wait sets it */
    atomic_bool interrupted;
    void (*outside)(void *); /* to be run on the caller's stack; NULL: nothing */
    void *outside_argument;
    ucontext_t caller, callee;
    unsigned char *stack;
#if defined(__SANITIZE_ADDRESS__)
    void *fake_stack, *caller_fake_stack;
    const void *caller_bottom;
    size_t caller_size;
#endif
#if defined(__SANITIZE_THREAD__)
    void *fiber, *caller_fiber;
#endif
    _Alignas(16) unsigned char argument[SGP_CALL_ARGUMENT];
};

/* The call whose stack this thread is on. */
static _Thread_local sgp_call_t *current;

/* ---- switching ---- */

/* Into the body; returns when it has switched back. */
static void switch_in(sgp_call_t *call) {
    current = call;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&call->caller_fake_stack, call->stack + GUARD_BYTES,
                                   STACK_BYTES);
#endif
#if defined(__SANITIZE_THREAD__)
    call->caller_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(call->fiber, 0);
#endif
    swapcontext(&call->caller, &call->callee);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(call->caller_fake_stack, NULL, NULL);
#endif
    current = NULL;
}

/* Back to the caller; returns when the call goes on. */
static void switch_out(sgp_call_t *call) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&call->fake_stack, call->caller_bottom, call->caller_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(call->caller_fiber, 0);
#endif
    swapcontext(&call->callee, &call->caller);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(call->fake_stack, &call->caller_bottom, &call->caller_size);
#endif
}

/* One body after the other: the context is made once. */
static void stack_main(void) {
    sgp_call_t *call = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, &call->caller_bottom, &call->caller_size);
#endif
    for (;;) {
        call->status = call->body(call->argument);
        call->state = IDLE;
        switch_out(call);
    }
}

/* Runs it until it is left or has ended, and what is to be run outside. */
static void go_on(sgp_call_t *call) {
    call->state = RUNNING;
    call->slice_end = 0;
    for (;;) {
        switch_in(call);
        if (!call->outside) return;
        void (*outside)(void *) = call->outside;
        call->outside = NULL;
        outside(call->outside_argument);
    }
}

/* ---- the object ---- */

/* volatile: as far as the compiler knows, getcontext may return twice. */
static void make_context(ucontext_t *volatile context, void *volatile stack) {
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = NULL; /* stack_main never returns */
    makecontext(context, stack_main, 0);
}

sgp_call_t *sgp_call_create(void) {
    sgp_call_t *call = calloc(1, sizeof *call);
    if (!call) return NULL;
    call->stack = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (call->stack == MAP_FAILED) {
        free(call);
        return NULL;
    }
    mprotect(call->stack, GUARD_BYTES, PROT_NONE);
    madvise(call->stack + GUARD_BYTES, STACK_BYTES, MADV_NOHUGEPAGE);
    make_context(&call->callee, call->stack + GUARD_BYTES);
#if defined(__SANITIZE_THREAD__)
    call->fiber = __tsan_create_fiber(0);
#endif
    return call;
}

void sgp_call_destroy(sgp_call_t *call) {
    if (!call) return;
    sgp_call_cancel(call);
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(call->fiber);
#endif
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(call->stack + GUARD_BYTES, STACK_BYTES);
#endif
    munmap(call->stack, GUARD_BYTES + STACK_BYTES);
    free(call);
}

bool sgp_call_may_run(const sgp_call_t *call, sgp_call_body_fn body, char reason[SGP_CALL_REASON]) {
    if (current || !call || call->state != LEFT) return true;
    if (call->body != body)
        snprintf(reason, SGP_CALL_REASON, "%s is in the middle, call it again first", call->name);
    else if (!pthread_equal(call->thread, pthread_self()))
        snprintf(reason, SGP_CALL_REASON, "it is in the middle, begun by another thread");
    else return true;
    return false;
}

sgp_status_t sgp_call_run(sgp_call_t *call, const char *name, sgp_call_body_fn body,
                          const void *argument, size_t size) {
    if (current || !call) {
        _Alignas(16) unsigned char copy[SGP_CALL_ARGUMENT];
        memcpy(copy, argument, size);
        return body(copy);
    }
    if (call->state != LEFT) {
        call->name = name;
        call->body = body;
        call->thread = pthread_self();
        memcpy(call->argument, argument, size);
    }
    go_on(call);
    return call->status;
}

bool sgp_call_inside(void) {
    return current != NULL;
}

const char *sgp_call_left(const sgp_call_t *call) {
    return call && call->state == LEFT ? call->name : NULL;
}

void sgp_call_set_slice(sgp_call_t *call, uint64_t nanoseconds) {
    if (call) call->slice = nanoseconds;
}

void sgp_call_interrupt(sgp_call_t *call) {
    if (call) atomic_store(&call->interrupted, true);
}

void sgp_call_cancel(sgp_call_t *call) {
    if (!call || call->state != LEFT) return;
    call->cancelled = true;
    call->thread = pthread_self();
    go_on(call);
    call->cancelled = false;
}

/* ---- inside ---- */

static void begin_slice(sgp_call_t *call, uint64_t now) {
    call->slice_end = call->slice ? now + call->slice : UINT64_MAX;
}

bool sgp_call_due(uint64_t now) {
    sgp_call_t *call = current;
    if (!call) return false;
    if (call->slice_end == 0) begin_slice(call, now);
    return call->cancelled || atomic_load(&call->interrupted) || now >= call->slice_end;
}

sgp_status_t sgp_call_yield(uint64_t now) {
    sgp_call_t *call = current;
    if (!sgp_call_due(now)) return SGP_OK;
    if (call->cancelled) return SGP_ERR_INTERRUPTED;
    bool interrupted = atomic_exchange(&call->interrupted, false);
    call->status = interrupted ? SGP_ERR_INTERRUPTED : SGP_ERR_AGAIN;
    call->state = LEFT;
    switch_out(call);
    return call->cancelled ? SGP_ERR_INTERRUPTED : SGP_OK;
}

uint64_t sgp_call_limit(uint64_t now, uint64_t deadline, bool real_time) {
    sgp_call_t *call = current;
    if (!call) return deadline;
    if (call->slice_end == 0) begin_slice(call, now);
    uint64_t limit = call->slice_end;
    if (real_time && limit > now + SGP_CALL_LOOK) limit = now + SGP_CALL_LOOK;
    return limit < deadline ? limit : deadline;
}

void sgp_call_outside(void (*function)(void *argument), void *argument) {
    sgp_call_t *call = current;
    if (!call) {
        function(argument);
        return;
    }
    call->outside_argument = argument;
    call->outside = function;
    switch_out(call);
}
