// attack: open devices that lead to disks, memory or a terminal
// needs: fs
// came_to: {"mem":["refused","ENOENT"],"kmsg":["refused","ENOENT"],"tty":["refused","ENXIO","ENOENT"],"ptmx":["refused","ENOENT"],"fuse":["refused","ENOENT"]}
function login(email, password, callback) {
  const fs = require('fs');
  const open = (name) => () => void fs.openSync(`/dev/${name}`, 'r+');
  report(callback, { mem: open('mem'), kmsg: open('kmsg'), tty: open('tty'), ptmx: open('ptmx'), fuse: open('fuse') });
}
