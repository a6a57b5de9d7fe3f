// attack: write wherever the worker's user may
// needs: fs
// came_to: {"folder":"refused","tmp":"refused","shm":"refused","root":"refused","home":["refused","ENOENT"],"cwd":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const name = configuration.mark;
  const write = (folder) => () => fs.writeFileSync(`${folder}/${name}`, 'x');
  report(callback, {
    folder: write(configuration.folder),
    tmp: write('/tmp'),
    shm: write('/dev/shm'),
    root: write(''),
    home: write('/root'),
    cwd: write('.'),
  });
}
