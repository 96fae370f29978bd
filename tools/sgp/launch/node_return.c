/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/node_return.h"

#include "cli/interrupt.h"
#include "cli/joining.h"

#include "launch/lost_nodes.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/entering.h"

/* A node that is struck off again and again within a minute gives up. */
enum { MOST_TRIES = 5 };

#define LONG_ENOUGH (60 * SGP_SECOND)

/* After a stretch of training the count begins anew. */
static bool may_try(node_return_t *back) {
    uint64_t now = sgp_clock_now();
    if (now - back->since > LONG_ENOUGH) back->tries = 0;
    back->since = now;
    return back->tries++ < MOST_TRIES;
}

/* A seat of the graph comes free only some steps after its member was struck off. If that takes too long, any other seat does. */
static sgp_status_t join_again(const node_return_t *back, const settings_t *settings,
                               sgp_group_t **group) {
    sgp_group_options_t options;
    sgp_status_t status = SGP_ERR_TIMEOUT;
    for (int own = 1; own >= 0 && status == SGP_ERR_TIMEOUT && !interrupt_signal; own--) {
        joining_options(&settings->joining, "tcp", 0, &options);
        sgp_rejoin_options(&back->where, own, &options);
        status = sgp_group_join(&options, group);
    }
    return status;
}

static sgp_status_t read_invitation(node_return_t *back, sgp_group_t *group) {
    size_t bytes;
    const void *blob = sgp_group_blob(group, &bytes);
    invitation_release(&back->invitation);
    return invitation_read(blob, bytes, &back->invitation);
}

/* A newcomer whose sponsor has died, or whose seat has gone to another one, asks again. A member can fail over what the others
 * do without it before it knows that they have struck it off. */
static bool has_cause(sgp_group_t *group, sgp_status_t status) {
    if (sgp_newcomer_is_entering(group))
        return status == SGP_ERR_PEER_LOST || status == SGP_ERR_AGAIN || status == SGP_ERR_TIMEOUT;
    bool fails = status == SGP_ERR_PEER_LOST || status == SGP_ERR_IO || status == SGP_ERR_ENDED;
    return fails && (sgp_rejoin_is_due(group) || lost_nodes_told(sgp_group_rank(group)));
}

bool node_return_begin(node_return_t *back, settings_t *settings, train_groups_t *groups,
                       sgp_status_t status) {
    if (interrupt_signal || interrupt_leave || !sgp_rejoin_can_be(groups->all) ||
        !has_cause(groups->all, status))
        return false;
    if (!may_try(back) || sgp_rejoin_note(groups->all, &back->where) != SGP_OK) return false;
    sgp_group_abort(groups->all);
    *groups = (train_groups_t){.all = NULL};
    if (join_again(back, settings, &groups->all) != SGP_OK) return false;
    sgp_log_set_rank(sgp_group_rank(groups->all));
    settings->run.resume = settings->run.init = NULL; /* its state comes from the others */
    if (read_invitation(back, groups->all) == SGP_OK) return true;
    sgp_group_abort(groups->all);
    groups->all = NULL;
    return false;
}

void node_return_fini(node_return_t *back) {
    invitation_release(&back->invitation);
    sgp_rejoin_fini(&back->where);
}
