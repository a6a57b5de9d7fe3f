// attack: start other programs by every call that does
// needs: full
// came_to: {"exec":"refused","spawn":"refused","file":"refused","fork":"refused","sync":"refused"}
function login(email, password, callback) {
  const child = process.getBuiltinModule('child_process');
  const { mark, folder } = configuration;
  const ends = (started) => new Promise((resolve, reject) => started.on('error', reject).on('spawn', resolve));
  report(callback, {
    exec: () => void child.execSync(`touch ${folder}/${mark}`, { stdio: 'ignore' }),
    spawn: () => ends(child.spawn('/bin/sh', ['-c', `touch ${folder}/${mark}`])),
    file: () => void child.execFileSync('/bin/true'),
    fork: () => ends(child.fork(configuration.harness, { execArgv: [] })),
    sync: () => {
      const { error } = child.spawnSync(process.execPath, ['-e', '0']);
      if (error) throw error;
    },
  });
}
