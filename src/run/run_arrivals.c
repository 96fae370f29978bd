/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_arrivals.h"

#include "base/bytes.h"
#include "base/logging.h"
#include "group/entering.h"
#include "group/membership.h"
#include "mixing/mixer_internal.h"
#include "run/agreement.h"
#include "run/handover.h"
#include "run/invitation.h"
#include "run/mixing_plan.h"
#include "run/run_data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_BYTES = 8 }; /* of a snapshot, before the optimizer's state */

#define STATE_PIECE SGP_GATHER_BYTES
#define STATE_MOST  ((size_t)64 << 20) /* half a million losses */

/* What a node says that it is. */
enum { IS_OLD, IS_NEW, IS_BACK };

/* What each node says at a meeting, as it travels. */
typedef struct meeting {
    uint64_t is_new; /* IS_... */
    uint64_t
        gone; /* a process that all but the new ones miss since they agreed last, plus 1; 0: none */
    uint64_t halts; /* of this node so far (halt_pause) */
    uint64_t bytes; /* of the state, of the first that is not new */
    uint64_t
        ended; /* a place whose newcomer this node need not meet: it has ended; plus 1; 0: none */
} meeting_t;

/* ---- a member: what newcomers are told ---- */

static sgp_status_t snapshot(void *user, void **bytes, size_t *count) {
    const run_t *run = user;
    const sgp_optimizer_t *optimizer = run->replica.optimizer;
    size_t size = sgp_optimizer_state_size(optimizer);
    unsigned char *made = malloc(EPOCH_BYTES + size);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a snapshot of %zu bytes", size);
    sgp_bytes_put(made, run->data.epoch, EPOCH_BYTES);
    sgp_status_t status = sgp_optimizer_state_save(optimizer, made + EPOCH_BYTES, size);
    if (status) {
        free(made);
        return status;
    }
    *bytes = made;
    *count = EPOCH_BYTES + size;
    return SGP_OK;
}

static sgp_status_t accept(run_t *run) {
    char *text;
    size_t bytes;
    sgp_status_t status = invitation_make(run->options, &run->replica, run->id, &text, &bytes);
    if (status) return status;
    sgp_newcomers_t newcomers = {
        .blob = text, .blob_bytes = bytes, .snapshot = snapshot, .user = run};
    status = sgp_group_accept(run->group, &newcomers);
    free(text);
    return status;
}

static void find_next(arrivals_t *arrivals, int places) {
    arrivals->next = UINT64_MAX;
    for (int r = 0; r < places; r++)
        if (arrivals->first[r] && arrivals->first[r] < arrivals->next)
            arrivals->next = arrivals->first[r];
}

static sgp_status_t make_places(run_t *run) {
    arrivals_t *arrivals = &run->arrivals;
    uint64_t **arrays[] = {&arrivals->first, &arrivals->met, &arrivals->ended,
                           &arrivals->later_first, &arrivals->later};
    arrivals->next = UINT64_MAX;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (!*arrays[i]) *arrays[i] = calloc((size_t)run->size, sizeof **arrays[i]);
        if (!*arrays[i])
            return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for newcomers at %d places", run->size);
    }
    return SGP_OK;
}

sgp_status_t arrivals_init(run_t *run) {
    if (!run->goes_on || run->size == run->founders) return SGP_OK;
    sgp_status_t status = make_places(run);
    if (status) return status;
    find_next(&run->arrivals, run->size);
    run->arrivals.watches = true;
    return accept(run);
}

void arrivals_fini(run_t *run) {
    if (run->arrivals.watches) sgp_group_accept(run->group, NULL);
    free(run->arrivals.first);
    free(run->arrivals.met);
    free(run->arrivals.ended);
    free(run->arrivals.later_first);
    free(run->arrivals.later);
    run->arrivals = (arrivals_t){.watches = false};
}

/* ---- when the nodes meet ---- */

/* Of two JOINs of one member that two sponsors have made the view may first have told the one that does not count: its step
 * is another one. */
static bool is_over(const arrivals_t *arrivals, int place, uint64_t use) {
    if (arrivals->met[place] == use) return !arrivals->first[place];
    return arrivals->met[place] > use;
}

/* A place is given again only when its newcomer has ended. Nodes that know that and nodes that do not must meet after the same
 * steps: all wait for the meeting in which one of them says so, and the next newcomer has its turn then. */
static void note_joined(arrivals_t *arrivals, int place, uint64_t use, uint64_t step) {
    if (is_over(arrivals, place, use)) return;
    if (arrivals->first[place] && arrivals->met[place] < use) {
        if (arrivals->later[place] > use) return;
        arrivals->later[place] = use;
        arrivals->later_first[place] = step;
        if (arrivals->ended[place] < use - 1) arrivals->ended[place] = use - 1;
        return;
    }
    arrivals->met[place] = use;
    arrivals->first[place] = step;
}

/* Takes in the newcomers of which the view knows now, and the ends of others. */
static void look(run_t *run) {
    arrivals_t *arrivals = &run->arrivals;
    sgp_membership_t *membership = sgp_group_membership(run->group);
    sgp_change_t changes[2 * SGP_CHANGES_OF_A_SEAT];
    uint64_t version = sgp_membership_version(membership);
    if (version == arrivals->version) return;
    arrivals->version = version;
    for (size_t count; (count = sgp_membership_changes(membership, &arrivals->reader, changes,
                                                       2 * SGP_CHANGES_OF_A_SEAT)) > 0;)
        for (size_t i = 0; i < count; i++) {
            const sgp_change_t *change = &changes[i];
            uint64_t use = (uint64_t)change->incarnation + 1;
            if (change->seat == run->rank) continue;
            if (change->kind == SGP_CHANGE_JOIN)
                note_joined(arrivals, change->seat, use, change->step);
            else if (arrivals->ended[change->seat] < use) arrivals->ended[change->seat] = use;
        }
    find_next(arrivals, run->size);
}

static bool is_due(const run_t *run, int place) {
    return run->arrivals.first[place] && run->arrivals.first[place] < run->step;
}

/* The lowest place whose newcomer is to be met now, and has ended as far as this node knows; -1: none. */
static int find_ended(const run_t *run) {
    for (int r = 0; r < run->size; r++)
        if (is_due(run, r) && run->arrivals.ended[r] >= run->arrivals.met[r]) return r;
    return -1;
}

/* Of newcomers that the nodes meet now those that are there need not be met again, nor those of which a node has said in this
 * meeting that they have ended. all: (places) what the nodes have said. */
static void pass(run_t *run, const meeting_t *all) {
    arrivals_t *arrivals = &run->arrivals;
    for (int r = 0; r < run->size; r++) {
        if (!is_due(run, r)) continue;
        bool over = run->losses.members[r];
        for (int i = 0; i < run->size && !over; i++)
            over = presence_has(run->group, i) && all[i].ended == (uint64_t)r + 1;
        if (!over) continue;
        arrivals->first[r] = arrivals->later_first[r];
        if (arrivals->later[r] > arrivals->met[r]) arrivals->met[r] = arrivals->later[r];
        arrivals->later_first[r] = 0;
    }
    find_next(arrivals, run->size);
}

/* ---- a meeting ---- */

/* The lowest that is there and not new; -1: none. */
static int first_old(const run_t *run, const meeting_t *all) {
    for (int r = 0; r < run->size; r++)
        if (presence_has(run->group, r) && !all[r].is_new) return r;
    return -1;
}

/* One node's state for all, in as many gathers as it takes. `whole`: (bytes) what a newcomer gets. Ends early, without an error, if
 * the node is lost meanwhile: all know it after the same gather. */
static sgp_status_t tell_all(run_t *run, int from, const unsigned char *state, size_t bytes,
                             unsigned char *pieces, unsigned char *whole) {
    unsigned char *mine = pieces, *all = pieces + STATE_PIECE;
    for (size_t done = 0, part; done < bytes; done += part) {
        part = bytes - done < STATE_PIECE ? bytes - done : STATE_PIECE;
        if (from == run->rank) memcpy(mine, state + done, part);
        sgp_status_t status = sgp_group_gather(run->group, mine, part, all);
        if (status || !presence_has(run->group, from)) return status;
        memcpy(whole + done, all + (size_t)from * part, part);
    }
    return SGP_OK;
}

static sgp_status_t hand_over(run_t *run, int from, bool is_new, const void *state, size_t bytes) {
    unsigned char *pieces = calloc((size_t)run->size + 1, STATE_PIECE), *whole = malloc(bytes);
    sgp_status_t status =
        pieces && whole
            ? SGP_OK
            : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the state of the run, %zu bytes", bytes);
    status = agreement_share(run->group, status);
    if (!status) status = tell_all(run, from, state, bytes, pieces, whole);
    if (!status && is_new && presence_has(run->group, from))
        status = handover_load(run, whole, bytes);
    free(pieces);
    free(whole);
    return agreement_share(run->group, status);
}

/* The lowest node of the run that is not there any more: perhaps a newcomer has its place. -1: none. */
static int find_gone(const run_t *run, const meeting_t *all) {
    for (int r = 0; r < run->size; r++)
        if (run->losses.members[r] && (!presence_has(run->group, r) || all[r].is_new)) return r;
    return -1;
}

/* Before newcomers are admitted the others agree on the losses: a place is given again only once it is known how far its last
 * node has come. The newcomers make the same calls, and know nothing. Each call says what the one before it has shown. */
static sgp_status_t agree_on_losses(run_t *run, uint64_t is_new, meeting_t *all) {
    meeting_t mine = {.is_new = is_new};
    for (bool first = true;; first = false) {
        mine.gone = first || is_new ? 0 : (uint64_t)(find_gone(run, all) + 1);
        sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
        if (status) return status;
        int from = first_old(run, all);
        uint64_t gone = from < 0 ? 0 : all[from].gone;
        if (from < 0 || (!first && gone == 0)) return SGP_OK;
        if (gone > (uint64_t)run->size)
            return sgp_fail(SGP_ERR_MISMATCH, "a node misses one that the run cannot have");
        if (gone && is_new) status = run_losses_attend(&run->losses);
        else if (gone)
            status = run_losses_agree_on(&run->losses, (int)gone - 1, all[gone - 1].is_new != 0,
                                         run->step);
        if (status) return status;
    }
}

/* The node that has led so far tells its user. */
static sgp_status_t note_join(run_t *run, int node, const meeting_t *all) {
    train_join_t join = {.node = node, .rejoined = all[node].is_new == IS_BACK, .step = run->step};
    bool leads = first_old(run, all) == run->rank;
    sgp_status_t status = run_joins_add(&run->joins, &join, 1);
    if (!status && run->callbacks.joined)
        run->callbacks.joined(&join, leads, node == run->rank, run->callbacks.user);
    return status;
}

/* From here on they are nodes of the run. */
static sgp_status_t admit(run_t *run, const meeting_t *all) {
    int ranks[run->size], count = 0;
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < run->size; r++)
        if (presence_has(run->group, r) && all[r].is_new) ranks[count++] = r;
    for (int i = 0; i < count; i++) run_losses_arrive(&run->losses, ranks[i]);
    if (count > 0 && all[run->rank].is_new) status = run_data_arrive(run);
    if (!status && count > 0) status = run_data_admit(run, ranks, count);
    for (int i = 0; i < count && !status; i++) {
        if (!all[run->rank].is_new) halt_admit(&run->halt, ranks[i]);
        status = note_join(run, ranks[i], all);
    }
    return status;
}

static sgp_status_t meet_once(run_t *run, uint64_t is_new, meeting_t *all, const void *state,
                              size_t bytes, bool *some) {
    meeting_t mine = {.is_new = is_new, .bytes = bytes};
    if (!is_new) mine.halts = halt_pause(&run->halt);
    if (!is_new) mine.ended = (uint64_t)(find_ended(run) + 1);
    sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    if (status) return status;
    int from = first_old(run, all);
    bool any = false;
    for (int r = 0; r < run->size; r++) any |= presence_has(run->group, r) && all[r].is_new;
    *some = any && from >= 0;
    if (!*some) return SGP_OK;
    if (all[from].bytes == 0 || all[from].bytes > STATE_MOST)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "the state of the run is %" PRIu64 " bytes: a newcomer can be told %zu",
                        all[from].bytes, STATE_MOST);
    status = hand_over(run, from, is_new, state, (size_t)all[from].bytes);
    return status || presence_has(run->group, from) ? status : SGP_ERR_AGAIN;
}

/* No halt is under way behind a meeting with newcomers: they know of none. */
static sgp_status_t settle_halts(run_t *run, const meeting_t *all) {
    uint64_t most = 0;
    for (int r = 0; r < run->size; r++)
        if (!all[r].is_new && all[r].halts > most) most = all[r].halts;
    run->arrivals.halts = most;
    return all[run->rank].is_new ? SGP_OK : halt_clear(&run->halt, most);
}

/* What newcomers are told of the run: after the losses are agreed on. */
static sgp_status_t save(run_t *run, void **state, size_t *bytes) {
    sgp_status_t status = run_data_follow(run);
    return status ? status : handover_save(run, state, bytes);
}

static sgp_status_t meet(run_t *run, uint64_t is_new) {
    meeting_t *all = calloc((size_t)run->size, sizeof *all);
    void *state = NULL;
    size_t bytes = 0;
    bool some = false;
    sgp_status_t status =
        all ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", run->size);
    status = agreement_share(run->group, status);
    if (!status) status = agree_on_losses(run, is_new, all);
    if (!status) {
        if (!is_new) status = save(run, &state, &bytes);
        status = agreement_share(run->group, status);
    }
    if (!status) status = SGP_ERR_AGAIN;
    while (status == SGP_ERR_AGAIN) status = meet_once(run, is_new, all, state, bytes, &some);
    if (!status && some) status = settle_halts(run, all);
    if (!status && some) status = agreement_share(run->group, admit(run, all));
    if (!status && is_new && !some)
        status = sgp_fail(SGP_ERR_PEER_LOST, "no node of the run has met this newcomer");
    if (!is_new) halt_go_on(&run->halt, some);
    if (!status) pass(run, all);
    free(state);
    free(all);
    return status;
}

sgp_status_t arrivals_meet(run_t *run) {
    if (!run->arrivals.watches) return SGP_OK;
    look(run);
    if (run->arrivals.next >= run->step) return SGP_OK;
    return meet(run, IS_OLD);
}

/* ---- a newcomer ---- */

sgp_status_t arrivals_fetch(run_t *run, uint64_t *epoch) {
    void *bytes;
    size_t count, most = EPOCH_BYTES + sgp_optimizer_state_size(run->replica.optimizer);
    sgp_status_t status = sgp_group_fetch(run->group, most, &bytes, &count);
    if (status) return status;
    if (count == most) {
        *epoch = sgp_bytes_get(bytes, EPOCH_BYTES);
        status = sgp_optimizer_state_load(run->replica.optimizer, (const char *)bytes + EPOCH_BYTES,
                                          count - EPOCH_BYTES);
    }
    if (count != most || (!status && *epoch >= (uint64_t)run->options->epochs))
        status = sgp_fail(SGP_ERR_FORMAT, "the snapshot of the run is out of range");
    free(bytes);
    return status;
}

/* A step without samples. Where gradients are averaged the others' mean moves this node too; its own counts as zero. */
static sgp_status_t empty_step(run_t *run, bool gradients) {
    replica_t *replica = &run->replica;
    float rate = (float)run->options->lr; /* an all-reduce takes that of the others */
    if (!gradients) return sgp_mixer_step(replica->mixer, NULL, NULL, rate);
    memset(replica->gradient, 0, replica->parameters * sizeof *replica->gradient);
    return sgp_mixer_step(replica->mixer, replica->optimizer, replica->gradient, rate);
}

sgp_status_t arrivals_enter(run_t *run) {
    sgp_mixer_t *mixer = run->replica.mixer;
    sgp_mixer_options_t options = train_mixer_options(run->options, 0);
    bool gradients = options.algorithm == SGP_ALGORITHM_ALLREDUCE && options.local_steps <= 1;
    sgp_status_t status = make_places(run);
    if (!status) status = empty_step(run, gradients);
    run->step = sgp_mixer_steps(mixer);
    if (!status) status = meet(run, sgp_newcomer_returns(run->group) ? IS_BACK : IS_NEW);
    if (!status && run->step != sgp_mixer_steps(mixer))
        status = sgp_fail(SGP_ERR_MISMATCH,
                          "the run is after step %" PRIu64 ", and this newcomer after %" PRIu64,
                          run->step, sgp_mixer_steps(mixer));
    return status;
}
