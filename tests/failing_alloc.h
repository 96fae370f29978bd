/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations that fail on demand: a test runs a call again and again, and in every round another
 * allocation of it fails, until a round has passed in which none was left to fail.
 *
 *   failing_t failing = {0};
 *   while (failing_round(&failing)) {
 *       sgp_inbox_t *inbox = NULL;
 *       sgp_status_t status = FAILING(&failing, sgp_inbox_create(transport, &inbox));
 *       assert_true((status == SGP_OK) == (inbox != NULL));
 *       sgp_inbox_destroy(inbox);
 *   }
 *
 * Each allocation fails in two rounds: alone, and with all that follow it. The first round fails none, so
 * that libraries have allocated what they keep. Every round must release what it allocated: memory,
 * threads and open files.
 *
 * malloc and its relatives are replaced for the whole process, the C library and jansson included; mmap and
 * pthread_create for our own code. The C++ runtime, oneDNN, OpenMP, libuv and the dynamic linker are left
 * alone, as they do not survive a failure: libuv aborts if it cannot watch one more file. The executable is
 * linked with failing_alloc.c (tests/CMakeLists.txt). */
#ifndef SGP_TESTS_FAILING_ALLOC_H
#define SGP_TESTS_FAILING_ALLOC_H

#include <sgp/status.h>

#include <stdbool.h>
#include <stddef.h>

/* All zero before the first round. The first five are set by the test. */
typedef struct failing {
    size_t stride;     /* of the allocations every so many-th fails; 0: each */
    bool unlogged;     /* the call does not log its errors, as its header says */
    bool every_thread; /* allocations of all threads fail; else the caller's alone */
    bool may_pass;     /* the call may succeed in spite of a failure */
    sgp_status_t also; /* of a call that fails, beside SGP_ERR_NO_MEMORY; 0: none */
    /* Private. */
    size_t round;
    size_t files;
    bool failed;
} failing_t;

/* Begins a round, after checking that the last one has left nothing behind; false: all allocations have failed. */
bool failing_round(failing_t *failing);

/* From here to failing_off allocations are counted, and fail. May be called several times in a round,
 * the count goes on. */
void failing_on(failing_t *failing);
void failing_off(failing_t *failing);

/* Whether an allocation has failed in this round. */
bool failing_has_failed(const failing_t *failing);

/* Asserts that the status is that of a call in which an allocation has failed, or not, and that the log says
 * why the call failed; returns it. The log is the harness's own. */
sgp_status_t failing_check(failing_t *failing, sgp_status_t status);

/* Prints where the first allocation of the round failed that did, for looking into an assertion. */
void failing_say(void);

/* The status of a call whose allocations may fail. */
#define FAILING(failing, call) (failing_on(failing), failing_check((failing), (call)))

/* Allocations of the process so far, of all threads, but for those libraries that are left alone. */
size_t failing_allocations(void);

#endif
