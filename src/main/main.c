/* SPDX-License-Identifier: Apache-2.0 */
/* flowgenix: one program, several commands. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "document/document.h"
#include "main/commands.h"

struct command {
        const char *name, *arguments, *summary, *help;
        enum status (*run)(const struct config *config, int argc, char **argv, struct error *err);
};

static const struct command commands[] = {
        {"serve", "", "serve the API and the web app",
         "Listens on HOST:PORT until SIGTERM or Ctrl+C. SIGHUP reopens the log file.\n"
         "Everything is set by environment variables or a .env file: see 'flowgenix check'.\n",
         command_serve},
        {"run", "FILE --input TEXT [--document PATH]... [--json] [--quiet]",
         "run a workflow without a server",
         "Runs the workflow of FILE (as exported, or a bare React Flow graph) once.\n\n"
         "  --input TEXT      the user's input; '-' reads it from standard input\n"
         "  --document PATH   a document for the knowledge base; may be repeated\n"
         "  --json            print the whole execution as JSON\n"
         "  --quiet           no progress on standard error\n\n"
         "The answer goes to standard output, progress to standard error.\n"
         "Exit status: 0 answered, 1 failed, 2 wrong use.\n",
         command_run},
        {"migrate", "", "bring the database to this program's schema",
         "Applies the migrations that DATABASE_URL lacks. 'serve' does so by itself.\n",
         command_migrate},
        {"user", "add --email ADDRESS [--name NAME] [--admin]", "make an account",
         "The password is asked for, or read from the first line of standard input.\n"
         "The first account is an administrator in any case.\n",
         command_user},
        {"check", "", "print the configuration in force, secrets masked",
         "Prints every variable with its value and meaning, then tries the database.\n",
         command_check},
        {"version", "", "print the version", "Prints the program's name and version.\n",
         command_version},
};

static void print_usage(FILE *out)
{
        fputs("Flowgenix: draw, run, chat with and watch AI workflows.\n\nUsage: flowgenix "
              "COMMAND\n\n",
              out);
        for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
                fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
        fputs("\n'flowgenix COMMAND --help' tells more about one.\n", out);
}

static void print_help(const struct command *command)
{
        printf("Usage: flowgenix %s%s%s\n\n%s", command->name, *command->arguments ? " " : "",
               command->arguments, command->help);
}

static bool asks_for_help(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--") == 0)
                        return false;
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
                        return true;
        }
        return false;
}

static int run_command(const struct command *command, int argc, char **argv)
{
        SCOPED_MEM void *ctx = mem_root();
        struct config config = {0};
        struct error err = ERROR_INIT;

        if (asks_for_help(argc, argv)) {
                print_help(command);
                return 0;
        }
        if (config_read(ctx, ".env", &config, &err) || command->run(&config, argc, argv, &err)) {
                fprintf(stderr, "flowgenix %s: %s\n", command->name, err.message);
                return err.status == STATUS_INVALID ? 2 : 1;
        }
        return 0;
}

int main(int argc, char **argv)
{
        const char *name = argc > 1 ? argv[1] : "--help";

        /* The confined child of document processing: started by the program itself, never by hand.
         */
        if (strcmp(name, "extract-child") == 0 && argc == 3)
                return document_extract_child(argv[2]);
        if (sodium_init() < 0) {
                fputs("flowgenix: libsodium cannot start\n", stderr);
                return 1;
        }
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
                print_usage(argc > 1 ? stdout : stderr);
                return argc > 1 ? 0 : 2;
        }
        if (strcmp(name, "--version") == 0)
                name = "version";
        for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
                if (strcmp(name, commands[i].name) == 0)
                        return run_command(&commands[i], argc - 1, argv + 1);
        fprintf(stderr, "flowgenix: there is no command '%s'\n\n", name);
        print_usage(stderr);
        return 2;
}
