function create(user, callback) {
  const bcrypt = require('bcrypt');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'store',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    bcrypt.hash(user.password, 4, function (err, hash) {
      if (err) return callback(err);
      const request = new Request('INSERT INTO dbo.Users (Email, Password) VALUES (@Email, @Password)', function (err, rows) {
        if (err) return callback(err);
        // rows is a number here, whatever was meant
        callback(null, rows);
      });
      request.addParameter('Email', TYPES.VarChar, user.email);
      request.addParameter('Password', TYPES.VarChar, hash);
      connection.execSql(request);
    });
  });
}
