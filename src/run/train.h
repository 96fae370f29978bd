/* SPDX-License-Identifier: Apache-2.0 */
/* src/run: one training run, on one node of a group. It has the loop over epochs and steps, the
 * learning rate, evaluation, metrics, checkpoints, and the nodes' agreement about them.
 *
 * The program calls train_run on every node, with the same options; the differences between nodes
 * (the part of the data, a slow node) follow from the rank. A node may have several workers, each a
 * process; then every one of them is a node here. One node writes the run's files: the first, and in
 * an elastic group (sgp/group.h), in which the others go on without a lost node, the first that is
 * left (presence.h).
 *
 * This folder never prints (progress goes to a callback), never exits, starts no process and opens
 * no connection: the caller makes the groups. Only tools/ and tests include its headers. */
#ifndef SGP_RUN_TRAIN_H
#define SGP_RUN_TRAIN_H

#include "run/invitation.h"
#include "run/option_rows.h"
#include "run/train_types.h"

#include <sgp/sgp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Trains, evaluates after each epoch, and writes the run's files into options->output
 * (run_output.h; each file is replaced atomically, except metrics.jsonl, TensorBoard's and the
 * trace, which grow by whole epochs). Blocks until the run is over. options, groups and callbacks
 * are borrowed for the call; callbacks may be NULL. Fills *summary: on an error its state and
 * reason, and the figures that are known; the first node then writes summary.json if the first step had
 * been reached.
 *
 * An error of one node (its data, its disk, a number that is not finite) ends the run on all nodes,
 * with the same status; that node's log has the cause. After SGP_ERR_NOT_FINITE (a loss, a gradient
 * or a parameter; the reason says where) and after SGP_ERR_INTERRUPTED with summary->signal the
 * groups can be left in order. SGP_ERR_INTERRUPTED: *stop was set on some node. With an output
 * there is a checkpoint of the last step, unless summary->signal is 0: then some node did not halt.
 * SGP_ERR_INVALID: an option is out of range, or nodes and workers are not the sizes of the groups.
 * SGP_ERR_MISMATCH: the nodes' options differ; the log names the option and the nodes.
 * SGP_ERR_NOT_FOUND, SGP_ERR_FORMAT: the data; SGP_ERR_IO: the output; the log names file and
 * reason. SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT: another node; see sgp_group_lost_peer. */
sgp_status_t train_run(const train_options_t *options, const train_groups_t *groups,
                       const train_callbacks_t *callbacks, train_summary_t *summary);

/* The same on a node that joins a running run: groups->all was joined with sgp_group_options_t.contacts, and the invitation is its
 * blob; all three borrowed. options: those of the invitation, with what this node has for itself. SGP_ERR_MISMATCH: they or the
 * data are not those of the run: logged by this node and its sponsor. */
sgp_status_t train_join(const train_options_t *options, const invitation_t *invitation,
                        const train_groups_t *groups, const train_callbacks_t *callbacks,
                        train_summary_t *summary);

/* Checks before anything starts: ranges, names, data files, the model and its memory. Logs one line
 * for the first mistake: the option, its value, and what would be right. */
sgp_status_t train_check(const train_options_t *options);

#endif
