// attack: make folders, remove files, rename them
// needs: fs
// came_to: {"mkdir":"refused","temporary":"refused","unlink":"refused","rmdir":"refused","rename":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const { folder, mark } = configuration;
  report(callback, {
    mkdir: () => fs.mkdirSync(`${folder}/${mark}`),
    temporary: () => void fs.mkdtempSync(`/tmp/${mark}`),
    unlink: () => fs.unlinkSync(`${folder}/keep`),
    rmdir: () => fs.rmSync(`${folder}/kept`, { recursive: true }),
    rename: () => fs.renameSync(`${folder}/keep`, `${folder}/${mark}`),
  });
}
