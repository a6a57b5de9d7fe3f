// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: script_error
// detail: called_back_error
// message: allocate
function login(email, password, callback) {
  const gulped = [];
  try {
    for (;;) gulped.push(Buffer.alloc(3e7, 1));
  } catch (error) {
    callback(error);
  }
}
