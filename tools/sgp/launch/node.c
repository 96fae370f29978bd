/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/node.h"

#include "cli/claim.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "launch/lost_nodes.h"
#include "launch/node_return.h"
#include "launch/patience.h"
#include "launch/rendezvous_folder.h"
#include "cli/resume_options.h"
#include "report/run_summary.h"

#include "base/logging.h"
#include "run/agreement.h"
#include "run/invitation.h"
#include "run/mixing_plan.h"
#include "run/presence.h"
#include "run/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The findings of node 0 before the run begins. The other nodes may be on machines that cannot see
 * its files. */
typedef struct beginning {
    int status; /* EXIT_... */
    int finished;
    char output[OUTPUT_PATH];
    char token[DIRECTORY_LOCK_TOKEN];
} beginning_t;

/* The end of the run for this node. */
typedef struct ending {
    sgp_status_t status;
    char reason[320]; /* train_summary_t.reason */
    uint64_t steps;
    int left;           /* train_summary_t.left */
    bool nothing_to_do; /* the run was finished before */
    bool refused;       /* node 0 could not begin, and prints the cause */
    int rank;           /* at the end; -1: as at the beginning */
} ending_t;

int node_show_finished(settings_t *settings, const train_summary_t *summary) {
    settings->run.output = settings->run.resume;
    if (!settings->quiet)
        message_line("%s: the run is finished, after %llu steps", settings->run.resume,
                     (unsigned long long)summary->steps);
    return summary_print(settings, summary);
}

/* ---- the beginning ---- */

static void claim_output(const settings_t *settings, beginning_t *found, claim_t *claim,
                         train_summary_t *summary) {
    const train_options_t *run = &settings->run;
    if (run->resume && resume_finished(run->resume, summary)) {
        found->finished = 1;
        return;
    }
    if (!claim_begin(settings, claim) || !claim_clear(claim)) found->status = EXIT_MISTAKE;
    memcpy(found->output, claim->output, sizeof found->output);
    memcpy(found->token, claim->token, sizeof found->token);
}

/* The first node claims the output directory and tells all nodes the result; if it is lost meanwhile, the next one does. */
static sgp_status_t agree_on_start(const settings_t *settings, sgp_group_t *group,
                                   beginning_t *first, claim_t *claim, train_summary_t *summary) {
    int size = sgp_group_capacity(group);
    beginning_t *all = calloc((size_t)size + 1, sizeof *all), *mine = all + size;
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", size);
    sgp_status_t status;
    int from;
    do {
        from = presence_first(group);
        if (sgp_group_rank(group) == from) claim_output(settings, mine, claim, summary);
        status = sgp_group_gather(group, mine, sizeof *mine, all);
    } while (status == SGP_OK && !presence_has(group, from));
    if (status == SGP_OK) *first = all[from];
    free(all);
    return status;
}

/* Makes a directory of the same name on this node's machine, for its checkpoints. */
static sgp_status_t prepare_directory(settings_t *settings, sgp_group_t *group,
                                      const beginning_t *first, claim_t *claim) {
    bool good = true, leads = presence_first(group) == sgp_group_rank(group);
    if (!settings->run.output || leads) settings->run.output = first->output;
    if (!leads) {
        memcpy(claim->token, first->token, sizeof claim->token);
        good = claim_follow(settings, claim) && claim_clear(claim);
    }
    return agreement_share(group, good ? SGP_OK : SGP_ERR_INVALID);
}

/* ---- the run ---- */

/* Removes the rendezvous directory once the last node has found all others. */
static sgp_status_t end_rendezvous(sgp_group_t *group) {
    const char *path = getenv("SGP_RENDEZVOUS");
    if (!path || !getenv("SGP_RENDEZVOUS_ONCE")) return SGP_OK;
    sgp_status_t status = sgp_group_barrier(group);
    if (status == SGP_OK && presence_first(group) == sgp_group_rank(group)) rendezvous_remove(path);
    return status;
}

/* A launcher on this machine knows better how a process ended, and names it; it does not see one that is silent. */
static void report_loss(const train_loss_t *loss, bool leads, void *user) {
    char name[MESSAGE_NODE];
    (void)user;
    message_node(loss->node, name);
    if (loss->left) {
        if (leads)
            message_error("%s is gone after step %" PRIu64 " (%s): the others go on", name,
                          loss->step, loss->reason);
        return;
    }
    lost_nodes_tell(loss->node);
    if (!leads || (lost_nodes_launched() && !loss->silent)) return;
    message_error("%s was lost in step %" PRIu64 " (%s): the others go on", name, loss->step,
                  loss->reason);
}

/* A node that comes back says so itself as well, unless all have one terminal. */
static void report_newcomer(const train_join_t *join, bool leads, bool self, void *user) {
    char name[MESSAGE_NODE];
    (void)user;
    message_node(join->node, name);
    lost_nodes_regain(join->node);
    if (self && join->rejoined) lost_nodes_regain_self();
    if (join->rejoined && (leads || (self && !lost_nodes_launched())))
        message_line("%s is back after step %" PRIu64, name, join->step);
    else if (leads && !self) message_line("%s has joined after step %" PRIu64, name, join->step);
}

/* Every node of a part says so: each has saved its own state, perhaps on a machine of its own. */
static void report_pause(const train_pause_t *pause, void *user) {
    char name[MESSAGE_NODE];
    (void)user;
    message_node(pause->rank, name);
    if (pause->over)
        message_line("%s hears enough of the others again, and goes on after step %" PRIu64, name,
                     pause->step);
    else
        message_error(
            "%s hears %d of %d nodes: it pauses after step %" PRIu64 ", for %g s at most%s%s", name,
            pause->here, pause->nodes, pause->step, pause->seconds,
            pause->folder ? "; its state is saved in " : "", pause->folder ? pause->folder : "");
}

static bool is_given_up(int rank, void *user) {
    (void)user;
    return lost_nodes_told(rank);
}

static sgp_status_t train(const settings_t *settings, const invitation_t *invitation,
                          train_groups_t *groups, train_summary_t *summary) {
    int workers = settings->run.workers;
    sgp_status_t status = SGP_OK;
    if (workers > 1)
        status = sgp_group_split(groups->all, workers, &groups->nodes, &groups->workers);
    if (status == SGP_OK && !invitation) status = end_rendezvous(groups->all);
    if (status != SGP_OK) return status;
    progress_t progress;
    progress_begin(&progress, settings->quiet);
    train_callbacks_t callbacks = {.progress = progress_show,
                                   .resized = progress_resized,
                                   .divided = progress_divided,
                                   .patience = patience_tell,
                                   .lost = report_loss,
                                   .joined = report_newcomer,
                                   .paused = report_pause,
                                   .given_up = lost_nodes_launched() ? is_given_up : NULL,
                                   .user = &progress,
                                   .stop = &interrupt_signal,
                                   .leave = &interrupt_leave};
    if (invitation) status = train_join(&settings->run, invitation, groups, &callbacks, summary);
    else status = train_run(&settings->run, groups, &callbacks, summary);
    progress_end(&progress);
    return status;
}

/* Comes back whenever the others have struck this node off, if they take it. */
static sgp_status_t train_on(settings_t *settings, const invitation_t *invitation,
                             train_groups_t *groups, train_summary_t *summary) {
    node_return_t back = {.tries = 0};
    sgp_status_t status = train(settings, invitation, groups, summary);
    while (node_return_begin(&back, settings, groups, status)) {
        train_summary_release(summary);
        status = train(settings, &back.invitation, groups, summary);
    }
    node_return_fini(&back);
    return status;
}

static void note_ending(ending_t *ending, sgp_status_t status, train_groups_t *groups,
                        const train_summary_t *summary) {
    *ending = (ending_t){.status = status, .steps = summary->steps, .left = summary->left};
    ending->rank = groups->all ? sgp_group_rank(groups->all) : -1;
    memcpy(ending->reason, summary->reason, sizeof ending->reason);
}

static void leave(train_groups_t *groups) {
    sgp_group_leave(groups->nodes);
    sgp_group_leave(groups->workers);
    sgp_group_leave(groups->all);
}

bool node_leaves(sgp_status_t status, const train_summary_t *summary) {
    return status == SGP_OK || status == SGP_ERR_NOT_FINITE ||
           (status == SGP_ERR_INTERRUPTED && summary->signal) || summary->left ||
           summary->too_few || summary->unstarted;
}

int node_end(const settings_t *settings, sgp_status_t status, const train_summary_t *summary,
             bool writes) {
    if (status == SGP_OK) return writes ? summary_print(settings, summary) : 0;
    if (summary->left) return 0;
    if (writes && summary->too_few) message_error("%s", summary->reason);
    if (writes && summary->reason[0]) summary_print_early(settings, summary);
    if (status == SGP_ERR_INTERRUPTED && summary->signal) return 128 + summary->signal;
    return interrupt_signal ? 128 + interrupt_signal : exit_status_of(status);
}

static int run_in_group(settings_t *settings, train_groups_t *groups, claim_t *claim,
                        ending_t *ending) {
    static beginning_t first; /* settings point to its output to the end */
    train_summary_t summary = {.state = TRAIN_FAILED};
    sgp_status_t status = agree_on_start(settings, groups->all, &first, claim, &summary);
    if (status == SGP_OK && (first.status || first.finished)) {
        bool leads = presence_first(groups->all) == sgp_group_rank(groups->all);
        leave(groups);
        ending->nothing_to_do = first.finished;
        ending->refused = !first.finished;
        return first.finished && leads ? node_show_finished(settings, &summary) : first.status;
    }
    if (status == SGP_OK) status = prepare_directory(settings, groups->all, &first, claim);
    if (status == SGP_ERR_INVALID) { /* some node's directory, which all nodes know */
        leave(groups);
        return EXIT_MISTAKE;
    }
    if (status == SGP_OK) status = train_on(settings, NULL, groups, &summary);
    note_ending(ending, status, groups, &summary);
    if (node_leaves(status, &summary)) leave(groups);
    int result = node_end(settings, status, &summary, summary.leads);
    train_summary_release(&summary);
    return result;
}

/* ---- a node that joins reports its progress: no launcher on its machine does ---- */

static bool speaks(const settings_t *settings, const node_placement_t *place) {
    return place->joins && !settings->quiet;
}

static void print_waiting(const settings_t *settings, const node_placement_t *place) {
    const char *at = settings->joining.join ? settings->joining.join : getenv("SGP_JOIN");
    if (speaks(settings, place)) message_line("joining a group of %d at %s", place->size, at);
}

static void print_complete(const settings_t *settings, const node_placement_t *place) {
    char name[MESSAGE_NODE];
    if (!speaks(settings, place)) return;
    message_node(place->rank, name);
    message_line("%s of %d: the group is complete", name, settings->run.nodes);
}

/* The cause of an error has been printed before, here or by the node that met it. */
static void print_end(const settings_t *settings, const node_placement_t *place,
                      const ending_t *ending) {
    char name[MESSAGE_NODE];
    if (!speaks(settings, place)) return;
    message_node(ending->rank < 0 ? place->rank : ending->rank, name);
    if (ending->nothing_to_do) message_line("%s: the run was finished before", name);
    else if (ending->refused) message_line("%s: ended, node 0 could not begin the run", name);
    else if (ending->status == SGP_OK)
        message_line("%s: finished, %" PRIu64 " steps", name, ending->steps);
    else if (ending->left)
        message_line("%s: left after step %" PRIu64 " (%s)", name, ending->steps,
                     strsignal(ending->left));
    else if (interrupt_signal) message_line("%s: stopped (%s)", name, strsignal(interrupt_signal));
    else
        message_line("%s: ended early: %s", name,
                     ending->reason[0] ? ending->reason : sgp_status_message(ending->status));
}

/* Until the group is complete nothing has begun, and a signal ends the process at once. */
int node_run(settings_t *settings, node_placement_t *place) {
    sgp_group_options_t options;
    train_groups_t groups = {0};
    claim_t claim = CLAIM_NONE;
    sgp_log_set_rank(place->rank);
    print_waiting(settings, place);
    joining_options(&settings->joining, settings->run.transport, node_placement_processes(settings),
                    &options);
    options.elastic = train_goes_on(&settings->run);
    if (options.elastic && settings->run.workers == 1 && settings->run.nodes > 0) {
        int most = train_most_nodes(&settings->run, place->joins);
        if (most > settings->run.nodes) options.capacity = (uint64_t)most;
    }
    sgp_status_t status = sgp_group_join(&options, &groups.all);
    if (status != SGP_OK) return exit_status_of(status);
    interrupt_catch();
    if (options.elastic) interrupt_may_leave(lost_nodes_launched() ? getppid() : 0);
    place->rank = sgp_group_rank(groups.all);
    place->size = sgp_group_size(groups.all);
    if (!node_placement_set_nodes(settings, place, place->rank == 0)) {
        leave(&groups);
        return EXIT_MISTAKE;
    }
    ending_t ending = {.rank = -1};
    print_complete(settings, place);
    int result = run_in_group(settings, &groups, &claim, &ending);
    print_end(settings, place, &ending);
    claim_release(&claim);
    return result;
}

/* ---- a node that joins a running run ---- */

/* What this node refuses, it also tells its sponsor. */
static bool refuse(sgp_group_t *group, const char *why) {
    sgp_group_decline(group, why);
    return false;
}

/* The options of the run, and over them the command line. */
static bool take_options(settings_t *settings, const invitation_t *invitation, sgp_group_t *group,
                         int argc, char **argv) {
    config_mistake_t mistake;
    config_difference_t difference;
    char why[300];
    settings_init(settings);
    if (!invitation_options(invitation, &settings->run, &mistake)) {
        snprintf(why, sizeof why, "it has no option %s", mistake.key);
        return refuse(group, why);
    }
    settings->run.output = invitation->output;
    if (!settings_parse(settings, argc, argv)) return refuse(group, "its command line");
    settings->run.nodes = (int)json_integer_value(json_object_get(invitation->options, "nodes"));
    if (!config_differs(invitation->options, &settings->run, &difference)) return true;
    snprintf(why, sizeof why, "%s is %.80s in the run, and %.80s on the newcomer", difference.key,
             difference.there, difference.here);
    return refuse(group, why);
}

/* For its checkpoints; on the machine of the others it is there. */
static bool make_directory(const settings_t *settings, sgp_group_t *group) {
    const char *output = settings->run.output;
    if (!output || mkdir(output, 0777) == 0 || errno == EEXIST) return true;
    message_error("--output %s: cannot be made: %s", output, strerror(errno));
    return refuse(group, "it cannot make its directory");
}

static int train_with_others(settings_t *settings, const invitation_t *invitation,
                             train_groups_t *groups) {
    train_summary_t summary = {.state = TRAIN_FAILED};
    node_placement_t place = {
        .joins = true, .rank = sgp_group_rank(groups->all), .size = sgp_group_size(groups->all)};
    sgp_status_t status = train_on(settings, invitation, groups, &summary);
    ending_t ending;
    note_ending(&ending, status, groups, &summary);
    if (node_leaves(status, &summary)) leave(groups);
    int result = node_end(settings, status, &summary, summary.leads);
    train_summary_release(&summary);
    print_end(settings, &place, &ending);
    return result;
}

int node_join(settings_t *settings, int argc, char **argv) {
    sgp_group_options_t options;
    train_groups_t groups = {0};
    invitation_t invitation;
    size_t bytes;
    joining_options(&settings->joining, "tcp", 0, &options);
    options.contacts = settings->joining.join;
    options.join = NULL;
    options.size = options.rank = 0;
    options.claim_rank = false;
    if (!settings->quiet) message_line("joining the run at %s", options.contacts);
    sgp_status_t status = sgp_group_join(&options, &groups.all);
    if (status != SGP_OK) return exit_status_of(status);
    sgp_log_set_rank(sgp_group_rank(groups.all));
    interrupt_catch();
    interrupt_may_leave(0);
    const void *blob = sgp_group_blob(groups.all, &bytes);
    status = invitation_read(blob, bytes, &invitation);
    int result = status ? exit_status_of(status) : EXIT_MISTAKE;
    if (!status && take_options(settings, &invitation, groups.all, argc, argv) &&
        make_directory(settings, groups.all))
        result = train_with_others(settings, &invitation, &groups);
    else if (groups.all) sgp_group_abort(groups.all);
    invitation_release(&invitation);
    return result;
}
