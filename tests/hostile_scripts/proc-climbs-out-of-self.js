// attack: reach other processes and files from its own folder in /proc
// needs: fs
// came_to: {"up":"refused","task":"refused","root":"refused","cwd":"refused","thread":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const { worker, secret_file } = configuration;
  report(callback, {
    up: () => void fs.readFileSync(`/proc/self/../${worker}/environ`),
    task: () => void fs.readFileSync(`/proc/self/task/../../${worker}/environ`),
    root: () => void fs.readFileSync(`/proc/self/root${secret_file}`),
    cwd: () => void fs.readFileSync(`/proc/self/cwd${secret_file}`),
    thread: () => void fs.readFileSync(`/proc/thread-self/root${secret_file}`),
  });
}
