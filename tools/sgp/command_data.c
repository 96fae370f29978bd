/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data`: data sets on disk. Each of its subcommands has a table of options. */
#include "command.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "data/data_jobs.h"
#include "data/parallel.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(data_settings_t, member)

static const option_t threads_options[] = {
    {.name = "threads",
     .argument = "T",
     .type = OPTION_INT,
     .offset = AT(threads),
     .min = 1,
     .max = PARALLEL_MOST_THREADS,
     .shown = "one for each CPU",
     .help = "threads that read, decode and write"},
    {0},
};

static const option_t last_options[] = {
    {.name = "quiet", .type = OPTION_FLAG, .offset = AT(quiet), .help = "print errors only"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

#define LAST_PARTS                                                                                 \
    {.rows = threads_options}, {                                                                   \
        .rows = last_options                                                                       \
    }

static const option_t recode_options[] = {
    {.name = "resize",
     .argument = "S",
     .type = OPTION_INT,
     .offset = AT(resize),
     .min = 1,
     .max = 16384,
     .shown = "as they are",
     .help = "pixels of the short side",
     .more =
         "Larger pictures shrink, with the filter that training uses; smaller ones stay as they "
         "are. Pixels (IDX, CIFAR) are brought to this size."},
    {.name = "quality",
     .argument = "Q",
     .type = OPTION_INT,
     .offset = AT(quality),
     .initial = "90",
     .min = 1,
     .max = 100,
     .help = "quality of the JPEG files that are encoded anew"},
    {0},
};

static const option_t pack_options[] = {
    {.name = "shards",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(shards),
     .min = 1,
     .max = 1000000,
     .shown = "",
     .help = "shards of the training set; those of the test set are as large",
     .more = "Some hundred megabytes each are right: 1000 for ImageNet."},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(seed),
     .initial = "1",
     .wanted = "a whole number, 0 or more",
     .help = "seed of the order in which pictures are spread over the shards"},
    {.name = "overwrite",
     .type = OPTION_FLAG,
     .offset = AT(overwrite),
     .help = "replace the shards that are in OUT"},
    {0},
};

static const option_t unpack_options[] = {
    {.name = "limit-samples",
     .argument = "N",
     .type = OPTION_LONG,
     .offset = AT(limit),
     .min = 1,
     .max = UINT32_MAX,
     .shown = "all",
     .help = "pictures of each set, evenly spread over it"},
    {0},
};

static const option_t show_options[] = {
    {.name = "output",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(output),
     .initial = "batch.png",
     .wanted = "the name of a file",
     .help = "the PNG file"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch),
     .initial = "32",
     .min = 1,
     .max = 1024,
     .help = "pictures"},
    {.name = "size",
     .argument = "S",
     .type = OPTION_INT,
     .offset = AT(size),
     .initial = "224",
     .min = 1,
     .max = 2048,
     .help = "pixels of a side",
     .more = "Ignored where samples are pixels."},
    {.name = "test",
     .type = OPTION_FLAG,
     .offset = AT(test),
     .help = "of the test set, as in evaluation"},
    {.name = "augment",
     .type = OPTION_OFF,
     .offset = AT(augment),
     .help = "without random crops and flips"},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(seed),
     .initial = "1",
     .wanted = "a whole number, 0 or more",
     .help = "seed of the choice of pictures, of crops and flips"},
    {0},
};

static const option_table_t show_table = {
    .command = "data show",
    .any_bytes = true,
    .operands = true,
    .synopsis = "sgp data show DATA [OPTIONS]",
    .about = "Draws a batch as the network sees it, cropped and augmented, and prints its classes.",
    .parts = {{.rows = show_options}, {.rows = last_options}},
};

static const option_table_t check_table = {
    .command = "data check",
    .any_bytes = true,
    .operands = true,
    .synopsis = "sgp data check DATA [OPTIONS]",
    .about = "Reads and decodes every picture once, and names each broken one with the reason.",
    .parts = {LAST_PARTS},
    .manual = "The exit status is 1 if any is broken.",
    .next = &show_table,
};

static const option_table_t index_table = {
    .command = "data index",
    .any_bytes = true,
    .operands = true,
    .synopsis = "sgp data index DATA [OPTIONS]",
    .about = "Writes the indexes of shards that another program has made, such as WebDataset.",
    .parts = {LAST_PARTS},
    .next = &check_table,
};

static const option_table_t unpack_table = {
    .command = "data unpack",
    .any_bytes = true,
    .operands = true,
    .synopsis = "sgp data unpack DATA OUT [OPTIONS]",
    .about =
        "Makes a folder of pictures by class, OUT/train/CLASS and OUT/val/CLASS, of any data set.",
    .parts = {{.rows = recode_options}, {.rows = unpack_options}, LAST_PARTS},
    .next = &index_table,
};

const option_table_t data_table = {
    .command = "data pack",
    .any_bytes = true,
    .operands = true,
    .synopsis = "sgp data pack DATA OUT --shards N [OPTIONS]",
    .about =
        "Writes the pictures of a data set as shards: tar files in WebDataset's layout, beside an\n"
        "index each, and classes.txt.",
    .parts = {{.rows = pack_options}, {.rows = recode_options}, LAST_PARTS},
    .next = &unpack_table,
};

typedef struct job {
    const char *name; /* after "sgp data" */
    const option_table_t *table;
    int operands; /* DATA, and OUT */
    int (*run)(const data_settings_t *settings);
    const char *help;
} job_t;

static const job_t jobs[] = {
    {"pack", &data_table, 2, data_pack, "write pictures as shards"},
    {"unpack", &unpack_table, 2, data_unpack, "make a folder of pictures"},
    {"index", &index_table, 1, data_index, "write the indexes of shards"},
    {"check", &check_table, 1, data_check, "name broken pictures"},
    {"show", &show_table, 1, data_show, "draw a batch"},
};

enum { JOBS = sizeof jobs / sizeof jobs[0], OPERANDS = 2 };

static void print_help(void) {
    puts("usage: sgp data COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < JOBS; i++) printf("  %-9s %s\n", jobs[i].name, jobs[i].help);
    puts("\nA data set is fashion-mnist, or a folder of pictures by class, of shards, or of\n"
         "MNIST's or CIFAR's files.\n\n"
         "sgp data COMMAND --help lists the options of a command.");
}

/* Options on all sides of the operands. */
static bool parse(const job_t *job, int argc, char **argv, data_settings_t *settings) {
    const char *operands[OPERANDS] = {NULL};
    int count = 0, first = 0;
    options_init(job->table, settings);
    while (argc > 0) {
        if (!options_parse(job->table, argc, argv, settings, &first)) return false;
        if (first == argc || settings->help) break;
        if (count == job->operands) {
            message_error("data %s: %s: unexpected; %s", job->name, argv[first],
                          job->table->synopsis);
            return false;
        }
        operands[count++] = argv[first];
        argc -= first; /* the operand takes the place of the program's name */
        argv += first;
    }
    if (!settings->help && count < job->operands) {
        message_error("data %s: %s is missing; %s", job->name, count == 0 ? "DATA" : "OUT",
                      job->table->synopsis);
        return false;
    }
    settings->data = operands[0];
    settings->out = operands[1];
    return true;
}

static int run(const job_t *job, int argc, char **argv) {
    data_settings_t settings = {0};
    if (!parse(job, argc, argv, &settings)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(job->table);
        return 0;
    }
    if (job->run == data_pack && settings.shards == 0) {
        message_error("data pack: --shards is missing; %s", job->table->synopsis);
        return EXIT_MISTAKE;
    }
    message_log_library(NULL);
    interrupt_catch();
    return job->run(&settings);
}

int command_data(int argc, char **argv) {
    const char *nearest = NULL;
    int best = INT_MAX;
    if (argc < 2) {
        message_error("data: a command is missing: pack, unpack, index, check or show");
        return EXIT_MISTAKE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < JOBS; i++) {
        if (strcmp(argv[1], jobs[i].name) == 0) return run(&jobs[i], argc - 1, argv + 1);
        if (options_near(argv[1], jobs[i].name, &best)) nearest = jobs[i].name;
    }
    if (nearest) message_error("data %s: unknown; did you mean data %s?", argv[1], nearest);
    else message_error("data %s: unknown; sgp data --help lists the commands", argv[1]);
    return EXIT_MISTAKE;
}
