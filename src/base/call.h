/* SPDX-License-Identifier: Apache-2.0 */
/* A call that can be left in the middle and continued later.
 *
 * A step waits deep inside of loops over peers and chunks. So that a public call can return SGP_ERR_AGAIN or
 * SGP_ERR_INTERRUPTED from there and continue at the same place when it is called again, its body runs on a stack of
 * its own, which keeps still meanwhile. Switching costs about a microsecond, once per call and once per return.
 *
 * The public entry points of group and mixing start a call; sgp_transport_wait and sgp_transport_pause are where it can
 * be left. Code in between knows nothing of it. One thread at a time uses a call object, and a call that was left is
 * continued by the thread that began it. Linux with glibc: ucontext(3). */
#ifndef SGP_BASE_CALL_H
#define SGP_BASE_CALL_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL stands for calls that cannot be left: their bodies run on the caller's stack. So must those of ranks that are
 * contexts of one thread (a simulation), as a thread is in one call at a time. */
typedef struct sgp_call sgp_call_t;

/* The largest argument that sgp_call_run copies. */
#define SGP_CALL_ARGUMENT 256

/* NULL: no memory. */
sgp_call_t *sgp_call_create(void);

/* Cancels a call that was left in the middle first. NULL is fine. */
void sgp_call_destroy(sgp_call_t *call);

typedef sgp_status_t (*sgp_call_body_fn)(void *argument);

/* Runs body(a copy of argument) until it returns, and returns its status; or, where a call with this body was left in
 * the middle, goes on with that one and ignores argument. SGP_ERR_AGAIN: it has waited for the slice;
 * SGP_ERR_INTERRUPTED: sgp_call_interrupt; after both the call is left in the middle and sgp_call_left names it.
 * Inside of another call: runs body there. sgp_call_may_run holds. name: of the public function, static. */
sgp_status_t sgp_call_run(sgp_call_t *call, const char *name, sgp_call_body_fn body,
                          const void *argument, size_t size);

/* Whether sgp_call_run may be called with this body; if not, why: another call is in the middle, or this one was begun by
 * another thread. */
enum { SGP_CALL_REASON = 128 };
bool sgp_call_may_run(const sgp_call_t *call, sgp_call_body_fn body, char reason[SGP_CALL_REASON]);

/* Whether the calling thread is inside of a call. */
bool sgp_call_inside(void);

/* The function that is in the middle; NULL: none. */
const char *sgp_call_left(const sgp_call_t *call);

/* Each sgp_call_run returns after waiting for so long, in the clock of its transport; 0: never. */
void sgp_call_set_slice(sgp_call_t *call, uint64_t nanoseconds);

/* The call that is running, or the next one, returns SGP_ERR_INTERRUPTED from its next wait. Safe in a signal handler
 * and from any thread. */
void sgp_call_interrupt(sgp_call_t *call);

/* A call that was left in the middle goes on with every wait failing (SGP_ERR_INTERRUPTED), so that it ends and
 * releases what it holds. Its caller's objects are then as after any other error of a step. */
void sgp_call_cancel(sgp_call_t *call);

/* ---- for code that waits inside of a call ---- */

/* Whether sgp_call_yield would leave the call now, or fail. Changes nothing. */
bool sgp_call_due(uint64_t now);

/* Where a wait may be left: returns at once (the usual case), or after the call was left and taken up again. now: of
 * the transport's clock. Nothing may be locked. SGP_OK; SGP_ERR_INTERRUPTED: the call is being cancelled, end it.
 * Outside of calls: SGP_OK. */
sgp_status_t sgp_call_yield(uint64_t now);

/* When a wait until `deadline` must look at sgp_call_yield again: at the deadline outside of calls; else at the end
 * of the slice, and, in real time, every SGP_CALL_LOOK, since an interrupt from a signal handler wakes no thread. */
uint64_t sgp_call_limit(uint64_t now, uint64_t deadline, bool real_time);
#define SGP_CALL_LOOK ((uint64_t)25000000) /* nanoseconds */

/* Runs function(argument) on the caller's own stack: callbacks, which may look at it (Python does). */
void sgp_call_outside(void (*function)(void *argument), void *argument);

#endif
