;; Properties where there is no stream
;;: configuration c
;;> wait 10
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $result $"plugin_name" (call $get_property $"plugin_name" (call $at) (call $size)))
  (call $result $"plugin_root_id" (call $get_property $"plugin_root_id" (call $at) (call $size)))
  (call $result $"plugin_vm_id" (call $get_property $"plugin_vm_id" (call $at) (call $size)))
  (call $result $"node.id" (call $get_property $"node\00id" (call $at) (call $size)))
  (call $result $"request.path" (call $get_property $"request\00path" (call $at) (call $size)))
  (call $result $"source.address" (call $get_property $"source\00address" (call $at) (call $size)))
  (call $result $"xds.route_name" (call $get_property $"xds\00route_name" (call $at) (call $size)))
  (call $result $"nothing" (call $get_property $"nothing" (call $at) (call $size)))
  (call $bytes $"connection.mtls" (call $get_property $"connection\00mtls" (call $at) (call $size)))
  (call $note1 $"set" (call $set_property $"t" $"x"))
  (i32.const 1))
