//! `machine start [SHARE...] | exec COMMAND... | shell | stop | status`: the library by hand.

use machine::{ExecRequest, Machine, MachineName, Options, Programs, Started, Status};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name: MachineName = std::env::var("MACHINE").unwrap_or_else(|_| "default".into()).parse()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["start", ref shares @ ..] => {
            let target = std::env::current_exe()?
                .parent()
                .map(ToOwned::to_owned)
                .unwrap_or_default();
            let programs = Programs {
                supervisor: target.join("mote-machine-supervisor"),
                init: target.join("mote-machine-init"),
            };
            let began = std::time::Instant::now();
            let mut options = Options {
                name,
                shares: shares.iter().map(Into::into).collect(),
                ..Options::default()
            };
            if std::env::var_os("FIXED").is_some() {
                options.host_files = machine::HostFiles::Fixed;
            }
            if let Ok(path) = std::env::var("DISK") {
                options.data_disk = Some(machine::DataDisk {
                    path: path.into(),
                    size_mib: 20480,
                });
            }
            if std::env::var_os("ICOUNT").is_some() {
                options.accelerator = machine::Accelerator::InstructionCount;
            }
            let started = Machine::start(options, &programs, |progress| {
                eprintln!("{:.3} {progress:?}", began.elapsed().as_secs_f64())
            })
            .await?;
            match started {
                Started::New(machine) => {
                    println!("started {:.3} {:?}", began.elapsed().as_secs_f64(), machine.record())
                }
                Started::Existing(_) => println!("runs already"),
            }
        }
        ["exec", ref argv @ ..] => {
            let machine = Machine::find(&name)?.ok_or_else(|| anyhow::anyhow!("not running"))?;
            let request = ExecRequest {
                argv: argv.iter().map(|s| s.to_string()).collect(),
                env: vec![("PATH".into(), std::env::var("PATH")?)],
                working_directory: Some(std::env::current_dir()?),
                terminal: None,
            };
            let (_keep, controls) = tokio::sync::mpsc::channel(1);
            let status = machine
                .exec(request)
                .await?
                .attach(tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr(), controls)
                .await?;
            std::process::exit(status.shell_code().into());
        }
        ["doctor"] => {
            let began = std::time::Instant::now();
            println!("{:#?}", machine::doctor());
            eprintln!("{:.3}", began.elapsed().as_secs_f64());
            println!("{:?}", machine::has_hardware_virtualization());
        }
        ["stop"] => match Machine::find(&name)? {
            Some(machine) => machine.stop().await?,
            None => println!("not running"),
        },
        ["status"] => match Machine::status(&name)? {
            Status::Running(machine) => println!("{:?}", machine.record()),
            other => println!("{other:?}"),
        },
        _ => anyhow::bail!("start [SHARE...] | exec COMMAND... | stop | status"),
    }
    Ok(())
}
