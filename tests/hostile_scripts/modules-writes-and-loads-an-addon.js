// attack: write native code to disk, then load it
// needs: fs
// came_to: {"write":"refused","load":["refused","ERR_DLOPEN_FAILED"]}
function login(email, password, callback) {
  const file = `${configuration.folder}/${configuration.mark}.node`;
  report(callback, {
    write: () => require('fs').copyFileSync(`${configuration.folder}/addon.node`, file),
    load: () => process.dlopen({ exports: {} }, file),
  });
}
