//! The verbs, each with an example.

use clap::Subcommand;

use super::{
    Agent, Attach, Cluster, Completions, Cp, Credentials, Definition, Doctor, Events, Exec, ImageNames, ImageVerb,
    Images, Inspect, Kill, Listing, Load, Login, Logout, Logs, Machine, Man, NetworkVerb, Port, Ps, Pull, Rm, Run,
    Save, Secret, Service, Stats, Stop, System, TaskVerb, Template, Top, Usage, Wait,
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a new microVM
    #[command(after_help = "\
Examples:
  mote run --rm -it busybox sh
  mote run -d --name web --cpus 0.25 -m 64m -p 8080:80 nginx
  mote run --rm -e GREETING=hello --env-file app.env app:2 ./serve --verbose")]
    Run(Box<Run>),
    /// Run a further command in a task that runs
    #[command(
        after_help = "Examples:\n  mote exec -it web sh\n  mote exec -e LEVEL=debug web ./reload\n  mote exec -c sidecar job ls /data"
    )]
    Exec(Exec),
    /// Connect this terminal to a task that runs
    #[command(after_help = "Example:\n  mote attach web        (Ctrl-P Ctrl-Q leaves a task with a terminal)")]
    Attach(Attach),
    /// List tasks
    #[command(
        after_help = "Examples:\n  mote ps\n  mote ps -a --filter status=stopped --filter label=team=blue\n  mote ps --format '{{.name}} {{.status}}'"
    )]
    Ps(Ps),
    /// Show everything about tasks or images, as JSON
    #[command(after_help = "Examples:\n  mote inspect web\n  mote inspect --format '{{.network.address}}' web")]
    Inspect(Inspect),
    /// Show what a task wrote
    #[command(
        after_help = "Examples:\n  mote logs web\n  mote logs -f --tail 100 -t web\n  mote logs --since 10m --until 2026-11-22T10:00:00Z -c sidecar job"
    )]
    Logs(Logs),
    /// Show what running tasks use, refreshed every second
    #[command(after_help = "Examples:\n  mote stats\n  mote stats --no-stream web")]
    Stats(Stats),
    /// Show what tasks have reserved and used, and what that costs
    #[command(
        after_help = "Examples:\n  mote usage --since 24h\n  mote usage --by family --prices fargate.json\n  mote usage --by tag:team --format csv"
    )]
    Usage(Usage),
    /// List the processes of a task
    #[command(after_help = "Example:\n  mote top web")]
    Top(Top),
    /// List the published ports of a task
    #[command(after_help = "Examples:\n  mote port web\n  mote port web 80/tcp")]
    Port(Port),
    /// Copy files from or to a task that runs, by a tar in it
    #[command(
        after_help = "Examples:\n  mote cp web:/etc/nginx/nginx.conf .\n  mote cp site/. web:/usr/share/nginx/html\n  mote cp web:/var/log - | tar -t"
    )]
    Cp(Cp),
    /// Wait until tasks have stopped, and print their exit codes
    #[command(after_help = "Example:\n  mote wait job")]
    Wait(Wait),
    /// Stop tasks: the stop signal first, then a kill
    #[command(after_help = "Example:\n  mote stop -t 30 web")]
    Stop(Stop),
    /// Send a signal to tasks, a kill where none is given
    #[command(after_help = "Example:\n  mote kill -s HUP web")]
    Kill(Kill),
    /// Forget stopped tasks
    #[command(after_help = "Examples:\n  mote rm job\n  mote rm -f web")]
    Rm(Rm),
    /// Show what happens, as it happens
    #[command(
        after_help = "Examples:\n  mote events --filter subject=task\n  mote events --since 1h --until 0s --format json"
    )]
    Events(Events),
    /// Bring an image from its registry into the store
    #[command(after_help = "Example:\n  mote pull registry.example/team/app:2")]
    Pull(Pull),
    /// Bring the images of an OCI layout, OCI archive or `docker save` archive into the store
    #[command(after_help = "Example:\n  docker save app:2 | mote load")]
    Load(Load),
    /// Write images as an OCI archive, with the digests that they came with
    #[command(after_help = "Examples:\n  mote save -o app.tar app:2\n  mote save app:2 | podman load")]
    Save(Save),
    /// List the images in the store
    #[command(after_help = "Examples:\n  mote images --format json\n  mote images --tree")]
    Images(Images),
    /// Remove images from the store
    #[command(after_help = "Example:\n  mote rmi app:1")]
    Rmi(ImageNames),
    /// Images: what the verbs above do, and removing those that nobody needs
    #[command(subcommand, after_help = "Example:\n  mote image prune --all")]
    Image(ImageVerb),
    /// Sign in to a registry; the host agent keeps that for all later pulls
    #[command(
        after_help = "Examples:\n  mote login -u ann registry.example\n  mote login -u ann --password-stdin registry.example < password"
    )]
    Login(Login),
    /// Forget the sign-in to a registry
    #[command(after_help = "Example:\n  mote logout registry.example")]
    Logout(Logout),
    /// Task definitions, as Amazon ECS has them
    #[command(subcommand, after_help = "Example:\n  mote task-definition register web.json")]
    TaskDefinition(Definition),
    /// Tasks from task definitions
    #[command(subcommand, after_help = "Example:\n  mote task run web:3")]
    Task(TaskVerb),
    /// Services: so many tasks of a definition, kept running
    #[command(
        subcommand,
        after_help = "Example:\n  mote service create web --task-definition web --count 2"
    )]
    Service(Service),
    /// Clusters: names for groups of tasks and services
    #[command(subcommand, after_help = "Example:\n  mote cluster create staging")]
    Cluster(Cluster),
    /// Networks that tasks share
    #[command(
        subcommand,
        after_help = "Examples:\n  mote network create front\n  mote run -d --name web --network front nginx"
    )]
    Network(NetworkVerb),
    /// Templates: the booted guests that microVMs are cloned from
    #[command(subcommand, after_help = "Example:\n  mote template ls")]
    Template(Template),
    /// Access keys for clients of Amazon ECS; without a verb, what to put into their environment
    #[command(
        after_help = "Examples:\n  eval \"$(mote credentials)\" && aws ecs list-tasks\n  mote credentials --format profile >> ~/.aws/config\n  mote credentials create --role read-only --description dashboard"
    )]
    Credentials(Credentials),
    /// Secrets, for the environment of tasks
    #[command(
        subcommand,
        after_help = "Example:\n  printf %s \"$PASSWORD\" | mote secret create db-password"
    )]
    Secret(Secret),
    /// The host agent: what it has, what that takes, what can go
    #[command(subcommand, after_help = "Example:\n  mote system df")]
    System(System),
    /// Show what the host agent has
    #[command(after_help = "Example:\n  mote info --format json")]
    Info(Listing),
    /// Tell what this host offers, by trying it
    #[command(after_help = "Examples:\n  mote doctor\n  mote doctor --security --format json")]
    Doctor(Doctor),
    /// The QEMU VM that plays the host where hardware virtualization is missing
    #[command(subcommand, after_help = "Example:\n  mote machine start --memory 8g")]
    Machine(Machine),
    /// Run the host agent
    #[command(after_help = "Examples:\n  mote agent -- --listen 127.0.0.1:7711\n  mote agent install --print")]
    Agent(Agent),
    /// Print what a shell needs to complete command lines
    #[command(after_help = "Example:\n  mote completions bash > /etc/bash_completion.d/mote")]
    Completions(Completions),
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  mote man /usr/local/share/man/man1")]
    Man(Man),
}
