/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/joining.h"

#include "cli/message.h"

#include "base/constants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(joining_t, member)

const option_t joining_rows[] = {
    {.name = "join",
     .argument = "HOST:PORT",
     .type = OPTION_STRING,
     .offset = AT(join),
     .shown = "",
     .wanted = "HOST:PORT, such as node17:7070",
     .help = "be one node of a group of --nodes N that meets there; the same on every machine. sgp "
             "train without --nodes joins the run that is under way there",
     .more =
         "The process that finds HOST to be an address of its own, and the port free, founds "
         "the group; the others join it. HOST may be any member, or several with commas between "
         "them."},
    {.name = "rank",
     .argument = "R",
     .type = OPTION_INT,
     .offset = AT(rank),
     .initial = "-1",
     .max = SGP_MOST_PROCESSES - 1,
     .shown = "in order of arrival",
     .help = "with --join: the rank that this node claims"},
    {.name = "join-timeout",
     .argument = "SECONDS",
     .type = OPTION_REAL,
     .offset = AT(join_timeout),
     .min = 0.001,
     .max = 1e6,
     .shown = "30; 300 with --join",
     .wanted = "a number of seconds above 0",
     .help = "how long to wait for all nodes to join"},
    {.name = "interface",
     .argument = "NAME",
     .type = OPTION_STRING,
     .offset = AT(interface),
     .shown = "the one that leads to HOST",
     .wanted = "an interface of this machine, by name or address",
     .help = "the interface, by name or address, on which other nodes reach this one"},
    {.name = "ports",
     .argument = "A-B",
     .type = OPTION_STRING,
     .offset = AT(ports),
     .shown = "any",
     .wanted = "a port or a range such as 7070-7090",
     .help = "where this node listens: the first free port of the range",
     .more = "Nodes of several workers need three ports for each process."},
    {.name = "key-file",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(key_file),
     .shown = "SGP_KEY_FILE, or the secret in SGP_KEY",
     .wanted = "a file",
     .help = "a secret that all nodes share; without one only nodes of this machine are let in",
     .more =
         "It has 16 characters or more, and only its owner may read the file (chmod 600). "
         "sgp key new FILE makes one. Nodes prove that they know the secret; it does not "
         "travel, and a key that leaks later opens no message of before. A launcher may bring a "
         "key itself (mpirun, srun with PMIx)."},
    {.name = "encryption",
     .argument = "WHEN",
     .type = OPTION_CHOICE,
     .offset = AT(encryption),
     .shown = "SGP_ENCRYPTION, or auto",
     .choices = "auto, on, off",
     .help = "encrypt messages between nodes that share a key: auto: between machines",
     .more = "With a key messages are authenticated in every case: nobody on the way can alter "
             "them. on asks for a "
             "key. A node with on and one with off do not come together."},
    {.name = "insecure",
     .type = OPTION_FLAG,
     .offset = AT(insecure),
     .help = "let other machines in without a key"},
    {.name = "peer-timeout",
     .argument = "SECONDS",
     .type = OPTION_REAL,
     .offset = AT(peer_timeout),
     .min = 0.001,
     .max = 1e6,
     .shown = "10",
     .wanted = "a number of seconds above 0",
     .help = "silence after which a node is lost",
     .more = "A node is silent if it does not run (stopped, suspended) or cannot be reached; a "
             "node that computes is not. The limit holds over shared memory and over a network."},
    {0},
};

static bool in_environment(const char *name) {
    const char *text = getenv(name);
    return text && *text;
}

bool joining_wanted(const joining_t *joining) {
    return joining->join || (in_environment("SGP_JOIN") && !in_environment("SGP_RENDEZVOUS"));
}

/* The first option that only tcp uses; NULL: none. */
static const char *network_option(const joining_t *joining) {
    if (joining->interface) return "interface";
    if (joining->ports) return "ports";
    if (joining->key_file) return "key-file";
    if (joining->encryption) return "encryption";
    return joining->insecure ? "insecure" : NULL;
}

static bool check_rank(const joining_t *joining, int size) {
    if (joining->rank < 0) return true;
    if (!joining_wanted(joining))
        message_error("--rank %d: claims a place with --join HOST:PORT; a launcher gives its own",
                      joining->rank);
    else if (size && joining->rank >= size)
        message_error("--rank %d: must be 0 to %d in a group of %d", joining->rank, size - 1, size);
    else return true;
    return false;
}

static bool check_size(const joining_t *joining, int size) {
    if (!joining->join || size || in_environment("SGP_SIZE")) return true;
    message_error("--join %s: needs the size of the group: give each node the same --nodes N",
                  joining->join);
    return false;
}

static bool check_transport(const joining_t *joining, const char *transport, bool placed) {
    const char *option = network_option(joining);
    bool network = !strcmp(transport, "tcp") || !strcmp(transport, "auto");
    bool own = !strcmp(transport, "loopback") || !strcmp(transport, "mpi");
    if (joining->join && own)
        message_error("--join %s: works with --transport tcp, auto or shm, not %s", joining->join,
                      transport);
    else if (joining->peer_timeout > 0 && own)
        message_error("--peer-timeout: a limit of shm, tcp and auto, not of --transport %s",
                      transport);
    else if (option && !network && !joining_wanted(joining))
        message_error("--%s: is an option of tcp, not of --transport %s", option, transport);
    else if (option && !placed && strcmp(transport, "tcp") != 0)
        message_error("--%s: needs a network: --transport tcp, or --join HOST:PORT", option);
    else return true;
    return false;
}

bool joining_check_join(const joining_t *joining, int size) {
    return check_size(joining, size) && check_rank(joining, size);
}

bool joining_check(const joining_t *joining, const char *transport, bool placed) {
    if (joining->key_file && joining->insecure) {
        message_error("--insecure: means no key, but --key-file %s gives one", joining->key_file);
        return false;
    }
    if (joining->insecure && joining->encryption && strcmp(joining->encryption, "off") != 0) {
        message_error("--insecure: means no key, and --encryption %s needs one: --key-file",
                      joining->encryption);
        return false;
    }
    return check_transport(joining, transport, placed);
}

static int milliseconds(double seconds) {
    double ms = seconds * 1e3 + 0.5;
    return seconds <= 0 ? 0 : ms < 1 ? 1 : ms > 2e9 ? 2000000000 : (int)ms;
}

static uint64_t encryption_of(const joining_t *joining) {
    if (!joining->encryption) return 0;
    if (strcmp(joining->encryption, "on") == 0) return SGP_ENCRYPTION_ON;
    if (strcmp(joining->encryption, "off") == 0) return SGP_ENCRYPTION_OFF;
    return SGP_ENCRYPTION_AUTO_ALWAYS;
}

void joining_options(const joining_t *joining, const char *transport, int size,
                     sgp_group_options_t *options) {
    *options = (sgp_group_options_t){.transport = transport,
                                     .join = joining->join,
                                     .interface = joining->interface,
                                     .ports = joining->ports,
                                     .key_file = joining->key_file,
                                     .insecure = joining->insecure,
                                     .encryption = encryption_of(joining),
                                     .join_timeout_ms = milliseconds(joining->join_timeout),
                                     .peer_timeout_ms = milliseconds(joining->peer_timeout)};
    if (!joining_wanted(joining)) return;
    options->join = joining->join ? joining->join : getenv("SGP_JOIN");
    options->size = size;
    options->claim_rank = joining->rank >= 0;
    options->rank = joining->rank >= 0 ? joining->rank : 0;
}

static void export_text(const char *name, const char *text) {
    if (text) setenv(name, text, 1);
}

static void export_number(const char *name, int number) {
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    setenv(name, text, 1);
}

void joining_export(const joining_t *joining, const char *transport, int size) {
    export_text("SGP_TRANSPORT", transport);
    export_text("SGP_JOIN", joining->join);
    export_text("SGP_INTERFACE", joining->interface);
    export_text("SGP_PORTS", joining->ports);
    export_text("SGP_KEY_FILE", joining->key_file);
    export_text("SGP_ENCRYPTION", joining->encryption);
    if (joining->insecure) export_text("SGP_INSECURE", "1");
    if (joining->rank >= 0) export_number("SGP_RANK", joining->rank);
    if (joining->join && size) export_number("SGP_SIZE", size);
    if (joining->join_timeout > 0)
        export_number("SGP_JOIN_TIMEOUT_MS", milliseconds(joining->join_timeout));
    if (joining->peer_timeout > 0)
        export_number("SGP_PEER_TIMEOUT_MS", milliseconds(joining->peer_timeout));
}
