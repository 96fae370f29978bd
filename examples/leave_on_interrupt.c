/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C while a call waits: the step returns between two slices, and the program leaves its group.
 *
 * sgp run --nodes 3 -- ./leave_on_interrupt          and then Ctrl-C
 *
 * The last node stands for one that computes for very long: it never steps. The others come to a
 * step in which they wait for its message. `sgp run` passes Ctrl-C on to the nodes as SIGTERM. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <sgp/sgp.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define P     1000
#define SLICE 100 /* milliseconds */

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void must(sgp_status_t status) {
    if (status == SGP_OK) return;
    fprintf(stderr, "leave_on_interrupt: %s: %s\n", sgp_status_name(status), sgp_last_error());
    exit(EXIT_FAILURE);
}

static void compute_until_stopped(void) {
    while (!stop) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* One step, in slices. SGP_ERR_AGAIN: the program is to stop, and the step is in the middle. */
static sgp_status_t step(sgp_mixer_t *mixer, int rank, int number) {
    int slices = 0;
    for (;;) {
        sgp_status_t status = sgp_mixer_step(mixer, NULL, NULL, 0);
        if (status != SGP_ERR_AGAIN || stop) return status;
        if (slices++ == 0) {
            printf("node %d: waiting in step %d\n", rank, number);
            fflush(stdout);
        }
    }
}

int main(void) {
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);

    must(sgp_group_join(&(sgp_group_options_t){0}, &group));
    int rank = sgp_group_rank(group), nodes = sgp_group_size(group);
    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, NULL, &mixer));
    sgp_group_set_slice(group, SLICE);

    sgp_status_t status = SGP_OK;
    int number = 0;
    if (rank == nodes - 1) compute_until_stopped();
    while (!stop && status == SGP_OK) status = step(mixer, rank, ++number);
    /* Another node may stop a moment earlier: then this one waits for a node that has left, which is
     * no loss. */
    int others_left = status == SGP_ERR_PEER_LOST && sgp_group_lost_peer(group) < 0;
    if (!stop && !others_left) must(status);

    sgp_mixer_destroy(mixer); /* ends the call that is in the middle */
    sgp_group_leave(group);
    printf("node %d: left%s\n", rank, status != SGP_OK ? " in the middle of a step" : "");
    return 0;
}
