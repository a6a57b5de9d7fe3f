// attack: a process that starts itself twice, and so on
// needs: full
// outcome: script_error
// detail: threw
// message: EPERM|EACCES|ENOSYS
function login(email, password, callback) {
  const { spawn } = require('child_process');
  const bomb = 'const {spawn}=require("child_process");for(;;)spawn(process.execPath,["-e",process.argv[1],process.argv[1]],{detached:true})';
  spawn(process.execPath, ['-e', bomb, bomb], { detached: true, stdio: 'ignore' }).on('error', callback);
}
