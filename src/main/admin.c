/* SPDX-License-Identifier: Apache-2.0 */
/* flowgenix migrate, user, check and version: what an operator does without a server. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "api/auth/password.h"
#include "base/utf8.h"
#include "main/commands.h"
#include "store/users.h"

static enum status no_arguments(int argc, char **argv, struct error *err)
{
        if (argc > 1)
                return error_set(err, STATUS_INVALID, "%s takes no arguments; see %s --help",
                                 argv[0], argv[0]);
        return STATUS_OK;
}

enum status command_version(const struct config *config, int argc, char **argv, struct error *err)
{
        (void)config;
        if (no_arguments(argc, argv, err))
                return err->status;
        printf("flowgenix %s\n", FLOWGENIX_VERSION);
        return STATUS_OK;
}

static enum status open_db(const struct config *config, struct db **ret, struct error *err)
{
        const struct db_options options = {.readers = 1};

        mkdir(config->DATA_DIR, 0700); /* db_open says so if the folder cannot be used */
        return db_open(config->DATABASE_URL, &options, ret, err);
}

enum status command_migrate(const struct config *config, int argc, char **argv, struct error *err)
{
        struct db *db = NULL;
        unsigned before = 0, latest = 0, applied = 0;

        if (no_arguments(argc, argv, err) || open_db(config, &db, err))
                return err->status;
        if (!db_schema_version(db, &before, &latest, err) && !db_migrate(db, &applied, err))
                printf("%s: schema version %u, %u migration%s applied, now %u\n",
                       config->DATABASE_URL, before, applied, applied == 1 ? "" : "s", latest);
        db_free(db);
        return err->status;
}

enum status command_check(const struct config *config, int argc, char **argv, struct error *err)
{
        struct db *db = NULL;
        unsigned current = 0, latest = 0;

        if (no_arguments(argc, argv, err))
                return err->status;
        config_print(config, stdout);
        if (open_db(config, &db, err) || db_schema_version(db, &current, &latest, err)) {
                db_free(db);
                return err->status;
        }
        printf("\ndatabase: %s, schema version %u of %u%s\n", db_engine(db), current, latest,
               current < latest ? " (serve or migrate brings it up to date)" : "");
        db_free(db);
        return STATUS_OK;
}

/* --- user add ----------------------------------------------------------------------------------*/
enum { FULL_NAME_MAX = 200, EMAIL_MAX = 254 };

struct new_user {
        const char *email, *name;
        bool admin;
};

static void interrupted(int signal)
{
        (void)signal;
}

/* Ctrl+C ends the question, not the program: the terminal must get its echo back. */
static void catch_signals(void)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
        const struct sigaction action = {.sa_handler = interrupted}; /* no SA_RESTART */

        for (size_t i = 0; i < ARRAY_LENGTH(signals); i++)
                sigaction(signals[i], &action, NULL);
}

static bool ask(char *buffer, size_t size, const struct termios *saved)
{
        struct termios quiet = *saved;

        catch_signals();
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        fputs("Password: ", stderr);
        bool read = fgets(buffer, (int)size, stdin);

        tcsetattr(STDIN_FILENO, TCSAFLUSH, saved);
        fputc('\n', stderr);
        return read;
}

/* From the terminal without echo, or the first line of standard input. */
static enum status read_password(char *buffer, size_t size, struct error *err)
{
        struct termios saved;
        bool terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
        bool read = terminal ? ask(buffer, size, &saved) : fgets(buffer, (int)size, stdin) != NULL;

        if (!read && errno == EINTR)
                return error_set(err, STATUS_CANCELLED, "stopped");
        if (!read)
                return error_set(err, STATUS_INVALID, "give the password on standard input");
        buffer[strcspn(buffer, "\r\n")] = '\0';
        if (strlen(buffer) < PASSWORD_MIN || strlen(buffer) > PASSWORD_MAX)
                return error_set(err, STATUS_INVALID, "the password must have %d to %d characters",
                                 PASSWORD_MIN, PASSWORD_MAX);
        return STATUS_OK;
}

static enum status parse_user(int argc, char **argv, struct new_user *ret, struct error *err)
{
        static const struct option options[] = {
                {"email", required_argument, NULL, 'e'},
                {"name", required_argument, NULL, 'n'},
                {"admin", no_argument, NULL, 'a'},
                {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (option == 'e')
                        ret->email = optarg;
                else if (option == 'n')
                        ret->name = optarg;
                else if (option == 'a')
                        ret->admin = true;
                else
                        return error_set(err, STATUS_INVALID, "unknown option; see user --help");
        }
        if (optind != argc - 1 || strcmp(argv[optind], "add") != 0 || !ret->email ||
            !strchr(ret->email, '@'))
                return error_set(
                        err, STATUS_INVALID,
                        "usage: flowgenix user add --email ADDRESS [--name NAME] [--admin]");
        if (ret->name &&
            (!utf8_valid(ret->name, strlen(ret->name)) || strlen(ret->name) > FULL_NAME_MAX))
                return error_set(err, STATUS_INVALID, "the name must be UTF-8 of at most %d bytes",
                                 FULL_NAME_MAX);
        if (strlen(ret->email) > EMAIL_MAX || strpbrk(ret->email, " \t\r\n"))
                return error_set(err, STATUS_INVALID, "that is not an e-mail address");
        return STATUS_OK;
}

enum status command_user(const struct config *config, int argc, char **argv, struct error *err)
{
        SCOPED_MEM void *ctx = mem_root();
        struct new_user wanted = {0};
        struct store *store = NULL;
        char password[PASSWORD_MAX + 2];

        if (parse_user(argc, argv, &wanted, err) || read_password(password, sizeof(password), err))
                return err->status;
        struct user user = {
                .email = mem_strdup(ctx, wanted.email),
                .full_name = mem_strdup(ctx, wanted.name ? wanted.name : wanted.email),
                .role = wanted.admin ? mem_strdup(ctx, "admin") : NULL,
        };

        mkdir(config->DATA_DIR, 0700);
        if (!password_hash(ctx, password, &user.password_hash, err) &&
            !store_open(config->DATABASE_URL, &store, err) &&
            !store_create_user(store, &user, ctx, err))
                printf("%s  %s  %s\n", user.id, user.email, user.role);
        store_free(store);
        return err->status;
}
